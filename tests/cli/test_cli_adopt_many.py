"""`ckptkit adopt` of a folder with very many checkpoints: what it costs, and that a person sees how far it is."""

import os
import sys
from pathlib import Path

import pytest
from adopting import adopt
from foreign_files import agent, lightning
from terminal import at_terminal


def looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Adopt a folder, and return how often it was listed."""
    listed = []
    scandir = os.scandir

    def counted(path: str | Path = ".") -> object:
        listed.append(Path(path) == folder)
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", counted)
        assert adopt(folder)[0] == 0
    return sum(listed)


def test_the_folder_is_listed_as_often_for_many_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 3), (many, 30)):
        for step in range(1, count + 1):
            agent(folder / f"rl_model_{step}_steps.zip", step)
    assert looks(few, monkeypatch) == looks(many, monkeypatch) < 10
    assert looks(few, monkeypatch) == looks(many, monkeypatch) < 10, "again, when all have a manifest"


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    for step in (8, 16):
        lightning(tmp_path, step, 0.5)
    soon = "import ckptkit.cli.progress as p; p._AFTER = p._EVERY = 0; from ckptkit.cli import main; main.run()"
    seen = at_terminal("adopt", ".", cwd=tmp_path, program=[sys.executable, "-c", soon])
    assert seen.code == 0
    assert "adopt" in seen.raw.partition("STATE")[0]
    assert "100%" in seen.raw.partition("STATE")[0]
