"""What is saved is copied to the mirror, in the background, and what is resumed from may be in either store."""

import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from command_line import inside

from ckptkit import CheckpointStore, ConflictError, NotFoundError, RefusedError, StoreError, events
from ckptkit.storage import Storage
from ckptkit.testing import MemoryStorage


class Unreachable(MemoryStorage):
    """A store whose network is down as long as it is said to be."""

    down = False

    def _up(self) -> None:
        if self.down:
            raise StoreError(f"store {self.url}: cannot be reached")

    def require(self) -> None:
        self._up()

    def has_run(self, run: str) -> bool:
        self._up()
        return super().has_run(run)


@pytest.fixture
def mirror() -> Unreachable:
    return Unreachable()


@pytest.fixture
def store(tmp_path: Path, mirror: Unreachable) -> CheckpointStore:
    return CheckpointStore(tmp_path / "store", mirror=mirror, cache=False)


def save(store: CheckpointStore, *steps: int, **how: object) -> None:
    for step in steps:
        store.save("r", step, {"rng": np.random.default_rng(step)}, **how)  # type: ignore[call-overload]


def steps(storage: Storage) -> list[int | None]:
    return [at.step for at in storage.scan("r")]


def damage(store: CheckpointStore, step: int) -> None:
    path = store.locate(f"r@{step}")[0].folder / "rng" / "rng.json"
    path.write_bytes(path.read_bytes()[:-2] + b" }")


def test_each_save_is_in_the_mirror_with_its_tags(store: CheckpointStore, mirror: Unreachable) -> None:
    save(store, 1, tags=["first"])
    save(store, 2, wait=False)
    assert store.unmirrored() == []
    there = CheckpointStore(mirror, cache=False)
    assert [(one.at.step, one.tags) for one in there.list("r")] == [(1, ("first",)), (2, ())]
    assert there.verify().exit_code == 0
    assert there.manifest("r@2") == store.manifest("r@2")


def test_the_end_of_a_with_block_waits_for_the_mirror(tmp_path: Path, mirror: Unreachable) -> None:
    with CheckpointStore(tmp_path / "store", mirror=mirror, cache=False) as store:
        save(store, 1, wait=False)
    assert steps(mirror) == [1]
    assert [one.name for one in threading.enumerate() if "mirror" in one.name] == []


def test_what_was_there_before_there_was_a_mirror_is_copied_by_the_first_save(
    tmp_path: Path, mirror: Unreachable
) -> None:
    save(CheckpointStore(tmp_path / "store", cache=False), 1, 2)
    store = CheckpointStore(tmp_path / "store", mirror=mirror, cache=False)
    save(store, 3)
    assert store.unmirrored() == []
    assert steps(mirror) == [1, 2, 3]


def test_what_was_pruned_from_the_mirror_does_not_come_back(store: CheckpointStore, mirror: Unreachable) -> None:
    save(store, 1, 2)
    store.unmirrored()
    mirror.remove(CheckpointStore(mirror).locate("r@1")[0])
    again = CheckpointStore(store.storage, mirror=mirror, cache=False)
    save(again, 3)
    again.unmirrored()
    assert steps(mirror) == [2, 3]


def test_a_mirror_that_is_down_costs_no_save_and_gets_all_of_it_later(
    store: CheckpointStore, mirror: Unreachable, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[events.Event] = []
    store.listen(heard.append)
    mirror.down = True
    with caplog.at_level(logging.WARNING, "ckptkit"):
        save(store, 1, 2)
        (line,) = store.unmirrored()
    assert "cannot be reached" in line
    assert any("not in the mirror" in record.message for record in caplog.records)
    assert {one.kind for one in heard} == {"saved", "not_copied"}
    assert steps(store.storage) == [1, 2]
    mirror.down = False
    save(store, 3)
    assert store.unmirrored() == []
    assert steps(mirror) == [1, 2, 3]
    assert [getattr(one, "ref", "") for one in heard if one.kind == "copied"] == ["r@1", "r@2", "r@3"]


def test_a_damaged_one_is_told_and_the_next_one_is_copied(store: CheckpointStore, mirror: Unreachable) -> None:
    mirror.down = True
    save(store, 1)
    store.unmirrored()
    damage(store, 1)
    mirror.down = False
    save(store, 2)
    (line,) = store.unmirrored()
    assert line.startswith("not in the mirror: r@1: ")
    assert steps(mirror) == [2]
    save(store, 3)
    assert store.unmirrored() == []


def test_a_save_that_replaces_replaces_in_the_mirror_too(store: CheckpointStore, mirror: Unreachable) -> None:
    save(store, 1)
    store.unmirrored()
    store.save("r", 1, {"rng": np.random.default_rng(9)}, replace=True)
    assert store.unmirrored() == []
    assert CheckpointStore(mirror).manifest("r@1") == store.manifest("r@1")
    assert [one.step for one in mirror.removed("r")] == [1]


def test_the_checkpoint_of_somebody_else_is_a_conflict(store: CheckpointStore, mirror: Unreachable) -> None:
    save(CheckpointStore(mirror, cache=False), 1)
    before = CheckpointStore(mirror).manifest("r@1")
    save(store, 1)
    (line,) = store.unmirrored()
    assert "another checkpoint" in line
    assert CheckpointStore(mirror).manifest("r@1") == before


def test_a_new_machine_resumes_from_the_mirror_and_has_the_checkpoint_then(
    store: CheckpointStore, mirror: Unreachable, tmp_path: Path
) -> None:
    save(store, 1, 2)
    store.unmirrored()
    fresh = CheckpointStore(tmp_path / "fresh", mirror=mirror, cache=False)
    generator = np.random.default_rng(0)
    restored = fresh.restore("r", {"rng": generator})
    assert restored.step == 2
    assert generator.random() == np.random.default_rng(2).random()
    assert steps(fresh.storage) == [2]
    save(fresh, 3)
    assert fresh.manifest("r@3").parent is not None
    assert fresh.unmirrored() == []
    assert steps(mirror) == [1, 2, 3]


def test_a_command_for_what_only_the_mirror_has_points_to_a_copy_here(
    store: CheckpointStore, mirror: Unreachable, tmp_path: Path
) -> None:
    store.save("r", 1, {"rng": np.random.default_rng(1)}, resume=["python", "train.py", "{path}"])
    store.unmirrored()
    fresh = CheckpointStore(tmp_path / "fresh", mirror=mirror, cache=False)
    assert fresh.resume_command("r").argv[-1] == str(tmp_path / "fresh" / "r" / "step-00000001")


def test_of_the_same_step_the_stores_own_is_taken_and_the_mirror_not_read(
    store: CheckpointStore, mirror: Unreachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, 1)
    store.unmirrored()

    def refuse(self: MemoryStorage, *args: object) -> None:
        raise AssertionError("the mirror was read")

    monkeypatch.setattr(MemoryStorage, "open", refuse)
    for ref in ("r", "r@1"):
        assert store.choose(ref).at.storage is store.storage


@pytest.mark.parametrize("ref", ["r", "r@2"])
def test_what_is_damaged_here_is_resumed_from_the_mirror(store: CheckpointStore, mirror: Unreachable, ref: str) -> None:
    save(store, 1, 2)
    store.unmirrored()
    damage(store, 2)
    assert store.choose(ref).at.storage is mirror
    assert store.restore(ref, {"rng": np.random.default_rng(0)}).step == 2
    assert store.verify("r@2").exit_code == 0


def test_the_best_one_may_be_in_either(store: CheckpointStore, mirror: Unreachable) -> None:
    save(store, 1, metrics={"reward": 9.0})
    save(store, 2, metrics={"reward": 1.0})
    store.unmirrored()
    shutil.rmtree(store.locate("r@1")[0].folder)
    from ckptkit.store import Ranking

    chosen = store.choose("r@best", ranking=Ranking("reward", "max"))
    assert (chosen.at.step, chosen.at.storage) == (1, mirror)


def test_a_mirror_that_is_down_is_left_out_where_the_store_has_something(
    store: CheckpointStore, mirror: Unreachable, caplog: pytest.LogCaptureFixture
) -> None:
    save(store, 1)
    store.unmirrored()
    mirror.down = True
    assert store.choose("r").at.step == 1
    assert "only what is here is looked at" in caplog.text


def test_a_mirror_that_is_down_makes_no_run_a_new_one(mirror: Unreachable, tmp_path: Path) -> None:
    mirror.down = True
    fresh = CheckpointStore(tmp_path / "fresh", mirror=mirror, cache=False)
    with pytest.raises(StoreError, match="cannot be reached"):
        fresh.restore("r", {"rng": np.random.default_rng(0)}, missing_ok=True)


def test_nobody_goes_back_behind_what_the_mirror_fails_to_send(
    store: CheckpointStore, mirror: Unreachable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, 1, 2)
    store.unmirrored()
    shutil.rmtree(store.locate("r@2")[0].folder)

    def fail(self: MemoryStorage, *args: object) -> None:
        raise StoreError("connection reset")

    monkeypatch.setattr(MemoryStorage, "open", fail)
    with pytest.raises(StoreError, match="connection reset"):
        store.restore("r", {"rng": np.random.default_rng(0)})
    assert store.restore("r@1", {"rng": np.random.default_rng(0)}).step == 1


def test_a_run_that_neither_has_is_a_new_one(mirror: Unreachable, tmp_path: Path) -> None:
    fresh = CheckpointStore(tmp_path / "fresh", mirror=mirror, cache=False)
    assert fresh.restore("r", {"rng": np.random.default_rng(0)}, missing_ok=True) is None
    with pytest.raises(NotFoundError):
        fresh.choose("r")


def test_who_goes_back_behind_newer_ones_must_say_so_for_the_mirror_too(
    store: CheckpointStore, mirror: Unreachable, tmp_path: Path
) -> None:
    save(store, 1, 2)
    store.unmirrored()
    fresh = CheckpointStore(tmp_path / "fresh", mirror=mirror, cache=False)
    with pytest.raises(ConflictError, match="in its mirror"):
        fresh.prepare("r", after=1)
    fresh.prepare("r", after=1, replace_newer=True)
    assert steps(mirror) == [1]
    fresh.release("r")


def test_a_forked_child_copies_its_own_saves(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", mirror=tmp_path / "mirror", cache=False)
    save(store, 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            save(store, 2)
            code = len(store.unmirrored())
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.unmirrored() == []
    assert [at.step for at in CheckpointStore(tmp_path / "mirror").locate("r")] == [1, 2]


ENDS = """
import sys
from ckptkit import CheckpointStore
store = CheckpointStore(sys.argv[1], mirror=sys.argv[2])
for step in (1, 2, 3):
    store.save("r", step, {"rng": __import__("random").Random(step)}, wait=False)
"""


def ended(*words: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", ENDS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_program_that_ends_waits_for_the_mirror(tmp_path: Path) -> None:
    done = ended(tmp_path / "store", tmp_path / "mirror")
    assert (done.returncode, done.stderr) == (0, "")
    assert [at.step for at in CheckpointStore(tmp_path / "mirror").locate("r")] == [1, 2, 3]


def test_a_program_that_ends_says_what_is_not_in_the_mirror_and_has_not_failed(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("a file")
    done = ended(tmp_path / "store", tmp_path / "mirror")
    assert (done.returncode, "not in the mirror: r@3" in done.stderr.splitlines()[-1]) == (0, True), done.stderr
    assert [at.step for at in CheckpointStore(tmp_path / "store").locate("r")] == [1, 2, 3]


def test_a_copy_from_the_mirror_at_the_same_step_is_no_fall_back(tmp_path: Path) -> None:
    (tmp_path / "ckptkit.yaml").write_text("store: store\nmirror: mirror\n")
    store = CheckpointStore(tmp_path / "store", mirror=tmp_path / "mirror", cache=False)
    store.save("r", 1, {"rng": np.random.default_rng(1)}, resume=["python", "train.py", "{path}"])
    store.unmirrored()
    damage(store, 1)
    done = inside("resume-cmd", "r", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "skipped r@1" in done.stderr
    assert store.verify().exit_code == 0


@pytest.mark.parametrize("mirror", ["c", "c/", "./c", "c/below", "."])
def test_a_store_is_not_its_own_mirror(mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match="is the store"):
        CheckpointStore("c", mirror=mirror, cache=False)
    assert not list(tmp_path.iterdir())
