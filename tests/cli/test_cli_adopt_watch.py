"""`ckptkit adopt --watch`: what a trainer writes is adopted when it is finished, and pruned by a retention policy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import PROGRAM, inside
from foreign_files import half_hugging_face, hugging_face, torch_like, tree

from ckptkit import CheckpointStore
from ckptkit.errors import LockedError
from ckptkit.retention import RetentionPolicy
from ckptkit.store import foreign
from ckptkit.store.foreign.watching import Watch


def watching(out: Path, policy: RetentionPolicy | None = None) -> Watch:
    places = foreign.Places(str(out), out)
    return Watch(foreign.TakingIn(CheckpointStore(out, cache=False), places), out, lambda run: policy)


def told(watch: Watch) -> list[tuple[str, str]]:
    return [(event.kind, event.ref or "") for event in watch.look()]


def test_what_is_still_being_written_is_not_adopted_before_nothing_changes(tmp_path: Path) -> None:
    watch = watching(tmp_path)
    file = torch_like(tmp_path / "model.pt")
    assert told(watch) == [], "nobody knows yet whether it changes"
    os.utime(file, (1, 1))
    assert told(watch) == []
    assert told(watch) == [("adopted", ".@7")]
    assert told(watch) == []


def test_the_mark_that_is_written_last_is_enough_and_a_half_one_is_told_once(tmp_path: Path) -> None:
    watch = watching(tmp_path)
    hugging_face(tmp_path, 4)
    half_hugging_face(tmp_path, 8)
    assert told(watch) == [("adopted", ".@4")]
    assert told(watch) == [("left", ".@8")]
    assert told(watch) == []
    hugging_face(tmp_path, 8)
    assert told(watch) == [("adopted", ".@8")]


def test_a_policy_removes_what_it_does_not_keep_and_never_the_newest_that_is_whole(tmp_path: Path) -> None:
    watch = watching(tmp_path, RetentionPolicy(keep_last=1))
    hugging_face(tmp_path, 4)
    half_hugging_face(tmp_path, 8)
    assert told(watch) == [("adopted", ".@4")]
    assert told(watch) == [("left", ".@8")]
    assert (tmp_path / "checkpoint-4").is_dir(), "8 is half written"
    hugging_face(tmp_path, 12)
    assert told(watch) == [("adopted", ".@12"), ("removed", ".@4")]
    assert inside("undelete", ".@4", store=tmp_path).returncode == 0


def test_what_the_trainer_removes_is_cleared_and_what_it_writes_again_is_adopted_anew(tmp_path: Path) -> None:
    watch = watching(tmp_path)
    for step in (4, 8):
        hugging_face(tmp_path, step)
    assert told(watch) == [("adopted", ".@4"), ("adopted", ".@8")]
    shutil.rmtree(tmp_path / "checkpoint-4")
    hugging_face(tmp_path, 8, loss=0.5)
    assert sorted(kind for kind, _ in told(watch)) == ["gone", "replaced"]
    assert [at.ref for at in CheckpointStore(tmp_path).locate()] == [".@8"]
    assert inside("verify", store=tmp_path).returncode == 0


def test_a_run_that_is_locked_is_told_once_and_tried_again(tmp_path: Path) -> None:
    watch = watching(tmp_path, RetentionPolicy(keep_last=1))
    for step in (4, 8):
        hugging_face(tmp_path, step)
    store = watch.taking.store

    def locked(*given: object, **how: object) -> object:
        raise LockedError("another ckptkit is pruning here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store), "prune", locked)
        assert told(watch) == [("adopted", ".@4"), ("adopted", ".@8"), ("failed", "")]
        assert told(watch) == []
    assert told(watch) == [("removed", ".@4")]


def test_a_folder_that_is_to_come_is_waited_for_and_may_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    watch = watching(out)
    assert [event.kind for event in watch.look()] == ["waiting"]
    hugging_face(out, 4)
    assert told(watch) == [("adopted", ".@4")]
    shutil.rmtree(out)
    assert told(watch) == []


def test_a_trainer_that_deletes_and_renames_under_it_ends_nothing(tmp_path: Path) -> None:
    watch, over = watching(tmp_path, RetentionPolicy(keep_last=2)), threading.Event()

    def train() -> None:
        for step in range(1, 60):
            half_hugging_face(tmp_path / "tmp", step)
            (tmp_path / "tmp" / f"checkpoint-{step}").rename(tmp_path / f"checkpoint-{step}")
            (tmp_path / f"checkpoint-{step}/trainer_state.json").write_text(json.dumps({"global_step": step}))
            shutil.rmtree(tmp_path / f"checkpoint-{step - 2}", ignore_errors=True)
        over.set()

    trainer = threading.Thread(target=train)
    trainer.start()
    while not over.is_set():
        for event in watch.look():
            assert event.kind != "left" or "trainer_state.json" in event.text or "not there" in event.text, event
    trainer.join()
    list(watch.last_look())
    store = CheckpointStore(tmp_path)
    assert [at.step for at in store.locate()][-1] == 59
    assert store.verify().exit_code == 0


@contextmanager
def process(out: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    command = [*PROGRAM, "adopt", str(out), "--watch", "--every", "0.1", *words]
    default = (
        "import signal, sys, os; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", default, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_a_last_look(ending: signal.Signals, tmp_path: Path) -> None:
    hugging_face(tmp_path, 4)
    with process(tmp_path, "--format", "json") as run:
        assert run.stdout is not None
        first = json.loads(run.stdout.readline())
        torch_like(tmp_path / "model.pt")  # no mark: only a look after a pause adopts it
        run.send_signal(ending)
        out, err = run.communicate(timeout=60)
    assert (first["event"], first["ref"]) == ("adopted", ".@4")
    assert [json.loads(line)["ref"] for line in out.splitlines()] == [".@7"]
    assert run.returncode == 128 + ending, err


def test_started_before_the_trainer_it_puts_the_manifests_beside_the_files_as_later(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with process(out, "--format", "json") as run:
        assert run.stdout is not None
        assert json.loads(run.stdout.readline())["event"] == "waiting"
        hugging_face(out, 4)
        assert json.loads(run.stdout.readline())["ref"] == ".@4"
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=60)
    assert "cannot be written to" not in err
    assert [at.ref for at in CheckpointStore(out).locate()] == [".@4"]


def test_nothing_of_the_trainer_is_changed(tmp_path: Path) -> None:
    watch = watching(tmp_path)
    hugging_face(tmp_path, 4)
    before = tree(tmp_path)
    list(watch.look())
    time.sleep(0.01)
    list(watch.look())
    assert tree(tmp_path) == before
