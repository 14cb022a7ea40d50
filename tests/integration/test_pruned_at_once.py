"""A prune of many: names go at once and last together, what is known is not read again, and bytes are freed after."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import inside

from ckptkit import CheckpointStore, RetentionPolicy
from ckptkit.catalog import manifests
from ckptkit.progress import Progress
from ckptkit.storage.local import trash

RUN = "r"
LAST = RetentionPolicy(keep_last=1)
AT_ONCE = timedelta(microseconds=1)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    return filled(tmp_path / "store", 6)


def filled(root: Path, count: int) -> CheckpointStore:
    store = CheckpointStore(root)
    for step in range(1, count + 1):
        store.save(RUN, step, {"rng": np.random.default_rng(step)})
    return store


def steps(store: CheckpointStore) -> list[int | None]:
    return [at.step for at in store.locate(RUN)]


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    real: Callable[..., Any] = getattr(module, name)
    calls: list[str] = []

    def counting(*arguments: Any, **more: Any) -> Any:
        calls.append(str(arguments[0]))
        return real(*arguments, **more)

    monkeypatch.setattr(module, name, counting)
    return calls


def flushes(root: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    store = filled(root, count)
    planned = store.plan_prune(LAST)
    with monkeypatch.context() as patch:
        real, flushed = os.fsync, []
        patch.setattr(os, "fsync", lambda fd: (flushed.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))[1])
        assert len(store.prune(planned).removed) == count - 1
    return [path.removeprefix(f"{root}/") for path in flushed]


def test_as_much_is_flushed_for_many_as_for_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    few = flushes(tmp_path / "few", 2, monkeypatch)
    assert few[-2:] == [f"{RUN}/.ckptkit/trash", RUN]
    assert flushes(tmp_path / "many", 8, monkeypatch) == few


def test_what_may_not_last_is_back_and_is_told(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = store.plan_prune(LAST)

    with monkeypatch.context() as patch:
        patch.setattr(trash, "fsync_path", fail_on(store.storage.run_folder(RUN)))
        done = store.prune(planned)
    assert done.removed == []
    assert [failure for failure in done.failures if "Input/output error" in failure]
    assert steps(store) == [1, 2, 3, 4, 5, 6]
    assert store.verify(RUN).exit_code == 0


def fail_on(folder: Path) -> Callable[[Path], None]:
    def flush(path: Path) -> None:
        if path == folder:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return flush


def test_ctrl_c_between_two_removals_leaves_both_halves_whole(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, remove = store.plan_prune(LAST), trash.remove
    removed: list[str] = []

    def interrupted(at: Any, state: Path, ref: str, *more: Any, **others: Any) -> Any:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(ref)
        return remove(at, state, ref, *more, **others)

    monkeypatch.setattr(trash, "remove", interrupted)
    lasting = counted(monkeypatch, trash, "make_last")
    with pytest.raises(KeyboardInterrupt):
        store.prune(planned)
    assert len(lasting) == 1, "what went before Ctrl-C is to last"
    assert steps(store) == [3, 4, 5, 6]
    assert [store.undelete(f"{RUN}@{step}").step for step in (1, 2)] == [1, 2]
    assert store.verify(RUN).exit_code == 0


def test_what_is_known_and_unchanged_is_not_read_again(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = store.plan_prune(LAST)
    read = counted(monkeypatch, manifests, "examine")
    assert len(store.prune(planned).removed) == 5
    assert read == []


def test_a_file_that_came_after_the_plan_keeps_its_checkpoint(store: CheckpointStore) -> None:
    planned = store.plan_prune(LAST)
    (store.storage.run_folder(RUN) / "step-00000002" / "notes.txt").write_text("mine")
    done = store.prune(planned)
    assert steps(store) == [2, 6]
    assert [failure for failure in done.failures if "no manifest lists notes.txt" in failure]


def test_what_is_being_purged_is_in_the_trash_no_more_and_does_not_keep_others_waiting(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prune(store.plan_prune(LAST))
    seen: list[list[Any]] = []
    rmtree = shutil.rmtree

    def looking(folder: Path, *more: Any, **others: Any) -> None:
        if not seen:
            seen.append(store.removed())
            saver = threading.Thread(target=store.save, args=(RUN, 7, {"rng": np.random.default_rng(7)}))
            saver.start()
            saver.join(30)
            assert not saver.is_alive(), "a save waits for what is freed"
        rmtree(folder, *more, **others)

    monkeypatch.setattr(trash.shutil, "rmtree", looking)
    planned = store.plan_prune(LAST, grace=AT_ONCE)
    done = store.prune(planned, jobs=1)
    assert len(done.purged) == 5
    assert seen == [[]]
    assert steps(store) == [6, 7]


def test_a_purge_that_is_cut_off_is_finished_by_the_next(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prune(store.plan_prune(LAST))
    planned = store.plan_prune(LAST, grace=AT_ONCE)

    def killed(folder: Path, *more: Any, **others: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trash.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            store.prune(planned)
    assert store.removed() == [], "half of a checkpoint might come back"
    assert len(store.prune(store.plan_prune(LAST, grace=AT_ONCE)).purged) == 5
    state = store.storage.run_folder(RUN) / ".ckptkit"
    assert [*(state / "trash").iterdir(), *(state / "staging").iterdir()] == []


def test_a_purge_says_how_many_bytes_it_has_freed(store: CheckpointStore) -> None:
    store.prune(store.plan_prune(LAST))
    state = store.storage.run_folder(RUN) / ".ckptkit" / "trash"
    size = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    seen: list[Progress] = []
    store.prune(store.plan_prune(LAST, grace=AT_ONCE), on_progress=seen.append, jobs=2)
    assert (seen[-1].doing, seen[-1].done, seen[-1].total) == ("purge", size, None)


def test_one_leftover_that_cannot_be_purged_does_not_stop_the_others(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prune(store.plan_prune(LAST))
    rmtree, refused = shutil.rmtree, []

    def refusing(folder: Path, *more: Any, **others: Any) -> None:
        if not refused:
            refused.append(folder)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        rmtree(folder, *more, **others)

    monkeypatch.setattr(trash.shutil, "rmtree", refusing)
    done = store.prune(store.plan_prune(LAST, grace=AT_ONCE), jobs=1)
    assert len(done.purged) == 4
    assert ["Permission denied" in failure for failure in done.failures] == [True]


def test_the_command_takes_a_number_of_jobs(store: CheckpointStore) -> None:
    done = inside("prune", "--keep-last", "1", "--apply", "--jobs", "1", store=store.storage.root)
    assert done.returncode == 0, done.stderr
    assert steps(store) == [6]


def test_what_lies_in_an_entry_of_its_own_comes_back_and_is_purged_as_ever(store: CheckpointStore) -> None:
    store.prune(store.plan_prune(RetentionPolicy(keep_last=4)))
    for entry in (store.storage.run_folder(RUN) / ".ckptkit" / "trash").iterdir():  # as they were written before
        moment, number, name = entry.name.split("-", 2)
        (entry.parent / f"{moment}-{number}").mkdir()
        entry.rename(entry.parent / f"{moment}-{number}" / name)
    assert [one.step for one in store.removed()] == [2, 1]
    assert store.undelete(f"{RUN}@1").name == "step-00000001"
    assert store.verify(RUN).exit_code == 0
    assert len(store.prune(store.plan_prune(RetentionPolicy(keep_last=9), grace=AT_ONCE)).purged) == 1
    assert store.removed() == []


def test_a_folder_with_the_longest_name_is_removed_and_comes_back(store: CheckpointStore) -> None:
    name = f"{'n' * 253}-2"
    run = store.storage.run_folder(RUN)
    (run / "step-00000002").rename(run / name)
    assert len(store.prune(store.plan_prune(LAST)).removed) == 5
    assert (run / ".ckptkit" / "trash" / store.removed()[-2].key / name / "manifest.json").is_file()
    assert store.undelete(f"{RUN}@2").name == name
    assert store.verify(RUN).exit_code == 0
