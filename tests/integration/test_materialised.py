"""What is resumed from is copied to this machine first, where that is asked for or its store has no folder."""

from pathlib import Path
from typing import Any

import pytest
from command_line import inside, refused

from ckptkit import CheckpointStore, ConflictError, Files, RefusedError, UsageError
from ckptkit.testing import MemoryStorage

RESUME = ["python", "train.py", "--resume", "{path}", "--store", "{store}"]


def files(folder: Path, step: int, content: bytes = b"") -> Files:
    given = folder / f"given-{step}-{content.hex()}"
    given.mkdir(parents=True)
    (given / "weights.bin").write_bytes(content or bytes([step]) * 70_000)
    return Files(given, "files")


def saved(store: CheckpointStore, folder: Path, *steps: int) -> CheckpointStore:
    for step in steps:
        store.save("r", step, {"data": files(folder, step)}, resume=RESUME)
    return store


@pytest.fixture
def memory(tmp_path: Path) -> CheckpointStore:
    return saved(CheckpointStore(MemoryStorage(), cache=False), tmp_path, 1, 2)


def damage(storage: MemoryStorage, key: str) -> None:
    found = storage.objects.get(key)
    assert found is not None
    storage.objects.put({key: found.data[:-1] + b"?"})


def test_a_store_without_folders_says_what_to_do(memory: CheckpointStore) -> None:
    with pytest.raises(UsageError, match="no folder on this machine") as caught:
        memory.resume_command("r")
    assert "--materialise DIR" in caught.value.hint


def test_a_copy_of_it_has_a_command_with_paths_of_this_machine(memory: CheckpointStore, tmp_path: Path) -> None:
    chosen = memory.materialise("r", tmp_path / "here")
    command = memory.resume_command(chosen)
    assert command.argv[:4] == ["python", "train.py", "--resume", str(tmp_path / "here/r/step-00000002/data")]
    assert command.argv[5] == str(tmp_path / "here")
    assert CheckpointStore(tmp_path / "here", cache=False).verify().exit_code == 0


def test_a_second_time_nothing_is_read_but_manifests(
    memory: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.materialise("r", tmp_path / "here")
    read: list[str] = []
    opened = MemoryStorage.open
    monkeypatch.setattr(MemoryStorage, "open", lambda self, at, path: read.append(path) or opened(self, at, path))
    assert memory.materialise("r", tmp_path / "here").at.step == 2
    assert read == []


def test_what_is_damaged_at_its_source_is_skipped_and_leaves_nothing(memory: CheckpointStore, tmp_path: Path) -> None:
    assert isinstance(memory.storage, MemoryStorage)
    damage(memory.storage, "r/step-00000002/data/weights.bin")
    chosen = memory.materialise("r", tmp_path / "here")
    assert (chosen.at.step, [report.at.step for report in chosen.skipped]) == (1, [2])
    assert [at.step for at in CheckpointStore(tmp_path / "here").locate()] == [1]


def test_what_is_damaged_here_is_copied_again(memory: CheckpointStore, tmp_path: Path) -> None:
    memory.materialise("r", tmp_path / "here")
    (tmp_path / "here/r/step-00000002/data/weights.bin").write_bytes(b"?")
    assert memory.materialise("r", tmp_path / "here").at.step == 2
    assert CheckpointStore(tmp_path / "here", cache=False).verify().exit_code == 0


def test_what_a_training_saved_there_since_is_the_newest(memory: CheckpointStore, tmp_path: Path) -> None:
    memory.materialise("r", tmp_path / "here")
    saved(CheckpointStore(tmp_path / "here"), tmp_path, 3)
    assert memory.materialise("r", tmp_path / "here").at.step == 3
    CheckpointStore(tmp_path / "here").copy_to(memory.storage)
    assert memory.choose("r").at.step == 3


def test_another_checkpoint_at_the_step_is_a_conflict_when_it_does_not_verify(
    memory: CheckpointStore, tmp_path: Path
) -> None:
    here = CheckpointStore(tmp_path / "here", cache=False)
    here.save("r", 2, {"data": files(tmp_path, 2, b"other")})
    assert memory.materialise("r", tmp_path / "here").at.storage is not memory.storage
    (tmp_path / "here/r/step-00000002/data/weights.bin").write_bytes(b"?")
    with pytest.raises(ConflictError):
        memory.materialise("r", tmp_path / "here")


def run(*words: str | Path, **how: Any) -> Any:
    return inside("resume-cmd", "r", *words, **how)


def test_the_command_line_prints_one_line_with_the_paths_of_the_copy(tmp_path: Path) -> None:
    saved(CheckpointStore(tmp_path / "store"), tmp_path, 1, 2)
    done = run("--materialise", tmp_path / "here", store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"train.py --resume {tmp_path}/here/r/step-00000002/data --store {tmp_path}/here\n")
    assert f"ckptkit copy {tmp_path}/here {tmp_path}/store" in done.stderr
    assert run("--materialise", tmp_path / "here", store=tmp_path / "store").stdout == done.stdout


def test_a_job_that_is_started_again_materialises_again(tmp_path: Path) -> None:
    saved(CheckpointStore(tmp_path / "store"), tmp_path, 1)
    done = run("--materialise", "here", "--format", "slurm", store=tmp_path / "store", cwd=tmp_path)
    assert f"--store {tmp_path}/store resume-cmd r" in done.stdout, done.stderr
    assert f"--materialise {tmp_path}/here" in done.stdout


def test_files_in_parts_are_put_together(tmp_path: Path) -> None:
    import numpy as np

    store = CheckpointStore(tmp_path / "store", dedup="tensor")
    for step in (1, 2):
        weights = {"frozen": np.arange(40_000.0), "head": np.arange(3000.0) * step}
        store.save("r", step, {"weights": weights}, resume=RESUME)
    assert "--materialise" in run(store=tmp_path / "store").stderr
    done = run("--materialise", tmp_path / "here", store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert len([*(tmp_path / "here/r/step-00000002/weights").glob("*.safetensors")]) == 1


def test_it_is_refused_in_the_store_itself(tmp_path: Path) -> None:
    store = saved(CheckpointStore(tmp_path / "store"), tmp_path, 1)
    with pytest.raises(RefusedError):
        store.materialise("r", tmp_path / "store" / "inner")
    refused(run("--materialise", tmp_path / "store" / "inner", store=tmp_path / "store"), 5, "lies in")


def test_nothing_resumable_prints_nothing(tmp_path: Path) -> None:
    saved(CheckpointStore(tmp_path / "store"), tmp_path, 1)
    (tmp_path / "store/r/step-00000001/data/weights.bin").write_bytes(b"?")
    done = run("--materialise", tmp_path / "here", store=tmp_path / "store")
    assert (done.returncode, done.stdout) == (4, "")
