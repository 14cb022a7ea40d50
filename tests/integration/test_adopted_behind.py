"""What a trainer wrote is adopted behind its back: listed when it is durable, and told of when that fails."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adopted_runs import RUN, adopt, adopted, refs, written

from ckptkit import CheckpointStore, Committed, ConflictError, NotFoundError, PartlyDoneError
from ckptkit.events import Event
from ckptkit.store import SaveHandle, Wrote


class Gate:
    """Holds an adoption up where it has digested its first block."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, _: int) -> None:
        self.reached.set()
        assert self.open.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.open.set()


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path)


def behind(store: CheckpointStore, step: int, **how: Any) -> SaveHandle:
    main = f"checkpoint-{step}"
    handle = store.adopt(RUN, main, step, {"model": Wrote(main, backend="files")}, wait=False, **how)
    assert isinstance(handle, SaveHandle)
    return handle


def test_it_is_listed_and_told_of_when_it_is_durable(store: CheckpointStore, tmp_path: Path, gate: Gate) -> None:
    told: list[Event] = []
    store.listen(told.append)
    written(tmp_path, 500)
    handle = behind(store, 500, on_bytes=gate)
    assert gate.reached.wait(60)
    assert (handle.done(), refs(store), told) == (False, [], [])
    gate.open.set()
    assert handle.result().at.ref == f"{RUN}@500"
    assert (refs(store), [event.kind for event in told]) == ([f"{RUN}@500"], ["saved"])


def test_it_is_the_same_checkpoint_as_one_that_was_waited_for(store: CheckpointStore, tmp_path: Path) -> None:
    written(tmp_path, 500)
    given: dict[str, Any] = {"trainer": "hf_trainer", "metrics": {"loss": 1 / 500}}
    one = behind(store, 500, **given).result().manifest
    (tmp_path / RUN / "checkpoint-500@500.manifest.json").unlink()
    other = adopt(CheckpointStore(tmp_path), 500).manifest
    assert (one.items, one.metrics, one.trainer) == (other.items, other.metrics, other.trainer)
    assert one.environment == other.environment
    assert store.verify().exit_code == 0


def test_what_is_known_already_is_not_read(store: CheckpointStore, tmp_path: Path) -> None:
    adopted(tmp_path, 500)
    handle = behind(store, 500, on_bytes=lambda _: pytest.fail("it was read"))
    assert handle.result().at.ref == f"{RUN}@500"


def test_what_can_be_refused_at_once_is(store: CheckpointStore, tmp_path: Path) -> None:
    adopted(tmp_path, 500)
    (tmp_path / RUN / "last.bin").write_bytes(b"copy")
    with pytest.raises(ConflictError, match="already"):
        store.adopt(RUN, "last.bin", 500, {"model": Wrote("last.bin", backend="files")}, wait=False)
    with pytest.raises(NotFoundError):
        behind(store, 600)
    written(tmp_path, 600)
    assert behind(store, 600).result().at.step == 600


def test_the_next_one_waits_for_it(store: CheckpointStore, tmp_path: Path, gate: Gate) -> None:
    for step in (1, 2):
        written(tmp_path, step)
    behind(store, 1, on_bytes=gate)
    threading.Timer(0.3, gate.open.set).start()
    handle = behind(store, 2)
    assert (handle.waited > 0.1, refs(store)[:1]) == (True, [f"{RUN}@1"])
    handle.result()


def test_what_its_trainer_writes_on_meanwhile_is_refused_at_the_next_call(
    store: CheckpointStore, tmp_path: Path, gate: Gate
) -> None:
    folder = written(tmp_path, 500)
    behind(store, 500, on_bytes=gate)
    assert gate.reached.wait(60)
    (folder / "more.bin").write_bytes(b"more")
    gate.open.set()
    with pytest.raises(ConflictError, match=rf"{RUN}@500 was not saved: checkpoint-500: is being written"):
        store.wait()
    assert refs(store) == []
    assert adopt(store, 500).how == "new"


@pytest.mark.parametrize("half", [False, True])
def test_what_its_trainer_removes_meanwhile_is_logged_and_ends_nothing(
    store: CheckpointStore, tmp_path: Path, gate: Gate, half: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path, 1)
    handle = behind(store, 1, on_bytes=gate)
    assert gate.reached.wait(60)
    if half:
        (folder / "trainer_state.json").unlink()
    else:
        shutil.rmtree(folder)
    gate.open.set()
    store.wait()
    assert "checkpoint-1: its trainer removed it before it was adopted" in caplog.text
    assert (refs(store), list((tmp_path / RUN).glob("*.manifest.json"))) == ([], [])
    with pytest.raises(NotFoundError):
        handle.result()
    written(tmp_path, 2)
    behind(store, 2).result()
    assert store.verify().exit_code == 0


def test_what_is_to_be_done_then_is_done_in_its_thread_and_may_fail(store: CheckpointStore, tmp_path: Path) -> None:
    there: list[str] = []

    def then(committed: Committed) -> None:
        there.append(f"{committed.at.ref} {threading.current_thread().name}")
        raise OSError(28, "no room for the copy")

    written(tmp_path, 1)
    with pytest.raises(PartlyDoneError, match=rf"{RUN}@1: was saved, but .* no room for the copy"):
        behind(store, 1, then=then).result()
    assert there == [f"{RUN}@1 ckptkit save {RUN}@1"]
    assert refs(store) == [f"{RUN}@1"]


PROGRAM = """
import shutil, sys, time
from ckptkit import CheckpointStore
from ckptkit.store import Wrote
store, folder = CheckpointStore(sys.argv[1]), f"{sys.argv[1]}/run1/checkpoint-1"
def slowly(_):
    time.sleep(0.3)
    MEANWHILE
store.adopt("run1", "checkpoint-1", 1, {"model": Wrote("checkpoint-1", backend="files")}, wait=False, on_bytes=slowly)
"""


@pytest.mark.parametrize(
    ("meanwhile", "code", "listed"),
    [
        ("pass", 0, [f"{RUN}@1"]),
        ("open(folder + '/more', 'w').close()", 120, []),
        ("shutil.rmtree(folder, True)", 0, []),
    ],
)
def test_the_end_of_the_program_waits_for_it_and_says_what_failed(
    tmp_path: Path, meanwhile: str, code: int, listed: list[str]
) -> None:
    written(tmp_path, 1)
    command = [sys.executable, "-c", PROGRAM.replace("MEANWHILE", meanwhile), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == code, done.stderr
    store = CheckpointStore(tmp_path)
    assert (refs(store), store.verify().exit_code in (0, 4)) == (listed, True)
    assert ("was not saved" in done.stderr) == (not listed)


@pytest.mark.parametrize("times", [8, pytest.param(100, marks=pytest.mark.matrix)])
def test_killed_at_any_moment(times: int, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_adopting.py")
    command = [sys.executable, str(script), str(tmp_path), str(times)]
    environment = {**os.environ, "PATH": ""}  # no git: it would be asked for the commit of the code each time
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == [], done.stderr[-4000:]
    assert result["killed"] >= 0.9 * times
