"""Names of tensors come from files: none reaches a terminal as it is."""

from pathlib import Path

import pytest
import torch
from command_line import inside as ckptkit

from ckptkit import CheckpointStore, Files

NAME, ESCAPED = "red\x1b[31m\nline\u202e", "red\\x1b[31m\\nline\\u202e"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for step in (1, 2):
        torch.save({NAME: torch.full((2,), float(step))}, tmp_path / "x.pt")
        items = {"x": Files(tmp_path / "x.pt", backend="files")}
        CheckpointStore(tmp_path / "s").save("r", step, items, config={f"a{NAME}": NAME, "step": step})
    return tmp_path / "s"


@pytest.mark.parametrize("format_", ["table", "tsv"])
@pytest.mark.parametrize(
    "arguments", [["show", "r"], ["show", "r", "--verbose"], ["diff", "r@1", "r@2"], ["find", "--tensor", "red*"]]
)
def test_hostile_names_are_escaped(arguments: list[str], format_: str, store: Path) -> None:
    done = ckptkit(*arguments, "--format", format_, store=store, env={"NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert ESCAPED in done.stdout


def test_an_escaped_name_is_cut_and_stays_escaped(store: Path) -> None:
    done = ckptkit("show", "r", "--format", "table", store=store, env={"COLUMNS": "40"})
    assert "\x1b" not in done.stdout
