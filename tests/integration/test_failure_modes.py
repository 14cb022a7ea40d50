"""Ways to fail that have a row in docs/explanation/integrity-model.md, and that no room has tests of by itself."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside, refused

from ckptkit import CheckpointStore, Files
from ckptkit.backend import CheckContext
from ckptkit.errors import CkptkitError

RUN = "run"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    opened = CheckpointStore(tmp_path / "store")
    for step in (1, 2, 3, 4):
        opened.save(RUN, step, {"rng": np.random.default_rng(step)}, resume=["x", "{path}"])
    return opened


def test_one_that_cannot_be_removed_stays_whole_and_the_others_go(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def refusing(source: Any, target: Any, **more: Any) -> None:
        if str(source).endswith("step-00000002"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(source))
        rename(source, target, **more)

    monkeypatch.setattr(os, "rename", refusing)
    root = Path(store.storage.url)
    done = inside("prune", "--keep-last", "1", "--apply", store=root)
    assert done.returncode == 3, (done.stdout, done.stderr)
    assert "Permission denied" in done.stderr
    assert "step-00000002" in done.stderr or f"{RUN}@2" in done.stderr
    assert [at.step for at in store.locate(RUN)] == [2, 4]
    assert store.verify().exit_code == 0


def test_a_hard_link_counts_by_its_content(store: CheckpointStore, tmp_path: Path) -> None:
    """It is a file like any other: no system tells which of two names was first. What is in it is digested."""
    [at] = store.locate(f"{RUN}@4")
    path = at.folder / "rng" / "rng.json"
    outside = tmp_path / "outside.json"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.hardlink_to(outside)
    assert store.verify(f"{RUN}@4").exit_code == 0
    outside.write_bytes(outside.read_bytes().replace(b"0", b"1"))
    [report] = store.verify(f"{RUN}@4").checkpoints
    assert [(problem.code, problem.file) for problem in report.problems] == [("digest-mismatch", "rng/rng.json")]


@pytest.mark.parametrize("pair", [("é.bin", "e\u0301.bin"), ("weights.bin", "Weights.bin"), ("ß.bin", "SS.bin")])
def test_names_that_are_one_on_other_systems_are_refused_at_save(pair: tuple[str, str], tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name in pair:
        (given / name).write_bytes(name.encode())
    store = CheckpointStore(tmp_path / "store")
    with pytest.raises(CkptkitError, match="the same on some file systems"):
        store.save(RUN, 1, {"item": Files(given, "files")})
    assert not (tmp_path / "store").exists()
    refused(inside("save", RUN, "--step", "1", f"item:files={given}", store=tmp_path / "store"), 1)


FORGED = 'model_checkpoint_path: "{to}"\nall_model_checkpoint_paths: "{to}"\n'


@pytest.mark.parametrize("to", ["../outside/evil-9", "/etc/evil-9", "no-such-9"])
def test_a_forged_pointer_of_tensorflow_leads_nowhere(to: str, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    from ckptkit_tfdata import TfDataBackend

    for folder, name in (("tf", "ckpt-3"), ("outside", "evil-9")):
        (tmp_path / folder).mkdir()
        tf.train.Checkpoint(weight=tf.Variable(1.0)).write(str(tmp_path / folder / name))
    (tmp_path / "tf" / "checkpoint").write_text(FORGED.format(to=to))
    found = TfDataBackend().recognise(tmp_path / "tf")
    assert sorted(found or ()) == ["checkpoint", "ckpt-3.data-00000-of-00001", "ckpt-3.index"]
    assert [p.severity for p in TfDataBackend().check(tmp_path / "tf", context=CheckContext(sorted(found or ())))] == []
    done = inside("adopt", tmp_path / "tf")
    assert done.returncode == 0, done.stderr
    assert [at.step for at in CheckpointStore(tmp_path / "tf").locate()] == [3]
    assert "evil" not in inside("list", "--format", "json", store=tmp_path / "tf").stdout
