"""A save that goes on behind is the save that it would have been, and what happens to it is never silent."""

import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from test_broken_plugins import GOOD, install

from ckptkit import (
    BackendError,
    CheckpointStore,
    Committed,
    ConflictError,
    PartlyDoneError,
    RetentionPolicy,
    UsageError,
)
from ckptkit.events import Event
from ckptkit.verification import observation

RUN = "run"


class Gate:
    """Holds a save up where it digests its first block, or lets it fail there."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.fails = False

    def __call__(self, _: int) -> None:
        self.reached.set()
        assert self.open.wait(60)
        if self.fails:
            raise RuntimeError("the disk is on fire")

    def pass_on(self, *, failing: bool = False) -> None:
        self.fails = failing
        self.open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.open.set()


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "store")


def state(seed: int = 0) -> dict[str, Any]:
    return {"weights": {"w": np.random.default_rng(seed).random(50_000)}, "rng": np.random.default_rng(seed)}


def steps(store: CheckpointStore) -> list[int | None]:
    return [one.at.step for one in store.list()]


def test_it_saves_the_state_at_the_call_and_not_what_became_of_it(store: CheckpointStore, gate: Gate) -> None:
    items, config = state(), {"lr": [0.1]}
    expected = items["weights"]["w"].copy(), items["rng"].bit_generator.state
    handle = store.save(RUN, 1, items, wait=False, on_bytes=gate, config=config)
    items["weights"]["w"] += 1.0
    items["rng"].random(7)
    config["lr"].append(0.2)
    gate.pass_on()
    assert handle.result().manifest.config == {"lr": [0.1]}
    into = state(seed=9)
    store.restore(RUN, into)
    assert np.array_equal(into["weights"]["w"], expected[0])
    assert into["rng"].bit_generator.state == expected[1]


def test_it_is_the_same_checkpoint_as_one_that_was_waited_for(store: CheckpointStore) -> None:
    behind = store.save("behind", 1, state(), wait=False, metrics={"loss": 0.5}).result().manifest
    waited = store.save("waited", 1, state(), metrics={"loss": 0.5}).manifest
    assert behind.items == waited.items
    assert behind.metrics == waited.metrics
    assert behind.environment == waited.environment
    assert store.verify(level="format").exit_code == 0


def test_nothing_is_listed_nor_told_before_it_is_durable(store: CheckpointStore, gate: Gate) -> None:
    told: list[Event] = []
    store.listen(told.append)
    handle = store.save(RUN, 1, state(), wait=False, on_bytes=gate, tags=["best"])
    assert gate.reached.wait(60)
    assert (handle.done(), steps(store), told) == (False, [], [])
    with pytest.raises(TimeoutError, match="run@1: is still being saved"):
        handle.result(timeout=0.01)
    gate.pass_on()
    assert handle.result().at.ref == "run@1"
    assert (handle.done(), steps(store), [event.kind for event in told]) == (True, [1], ["saved"])


def test_the_next_save_waits_for_it_and_says_how_long(
    store: CheckpointStore, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ckptkit")
    store.save(RUN, 1, state(), wait=False, on_bytes=gate)
    threading.Timer(0.3, gate.pass_on).start()
    handle = CheckpointStore(store.storage.root.parent / "another").save(RUN, 2, state(), wait=False)  # type: ignore[attr-defined]
    assert handle.waited > 0.1
    assert steps(store) == [1]
    assert "run@2: waited 0." in caplog.text
    handle.result()


@pytest.mark.parametrize("call", ["save", "restore", "plan_prune", "prepare", "pin"])
def test_what_changes_the_store_or_resumes_from_it_waits_first(store: CheckpointStore, gate: Gate, call: str) -> None:
    store.save(RUN, 1, state(), wait=False, on_bytes=gate)
    threading.Timer(0.2, gate.pass_on).start()
    calls: dict[str, Any] = {
        "save": lambda: store.save(RUN, 2, state()),
        "restore": lambda: store.restore(RUN, state(seed=9)),
        "plan_prune": lambda: store.plan_prune(RetentionPolicy(keep_last=1)),
        "prepare": lambda: store.prepare(RUN, after=1),
        "pin": lambda: store.pin(f"{RUN}@1"),
    }
    calls[call]()
    assert 1 in steps(store)


def test_a_failure_comes_from_the_handle(store: CheckpointStore, gate: Gate) -> None:
    handle = store.save(RUN, 1, state(), wait=False, on_bytes=gate)
    gate.pass_on(failing=True)
    with pytest.raises(BackendError, match="the disk is on fire"):
        handle.result()
    assert handle.done()
    store.save(RUN, 1, state())  # it is told once
    assert steps(store) == [1]


@pytest.mark.parametrize("call", ["save", "save behind", "restore", "wait", "with"])
def test_a_failure_that_nobody_asked_for_comes_from_the_next_call(
    store: CheckpointStore, gate: Gate, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(RUN, 1, state())
    handle = store.save(RUN, 2, state(), wait=False, on_bytes=gate)
    gate.pass_on(failing=True)
    calls: dict[str, Any] = {
        "save": lambda: store.save(RUN, 3, state()),
        "save behind": lambda: store.save(RUN, 3, state(), wait=False),
        "restore": lambda: store.restore(RUN, state(seed=9)),
        "wait": store.wait,
        "with": lambda: store.__exit__(None, None, None),
    }
    with pytest.raises(BackendError, match=r"run@2 was not saved: .*the disk is on fire"):
        calls[call]()
    assert "run@2 was not saved" in caplog.text
    assert handle.failure is not None
    assert steps(store) == [1]
    store.save(RUN, 3, state(), wait=False).result()
    left = store.storage.run_folder(RUN) / ".ckptkit" / "staging"
    assert list(left.iterdir()) == []


def test_what_can_be_refused_at_once_is(store: CheckpointStore) -> None:
    store.save(RUN, 1, state())
    with pytest.raises(ConflictError):
        store.save(RUN, 1, state(), wait=False)
    with pytest.raises(UsageError):
        store.save(RUN, 2, state(), wait=False, metrics={"loss": "low"})  # type: ignore[dict-item]
    with pytest.raises(BackendError):
        store.save(RUN, 2, {"what": object()}, wait=False)
    assert store.save(RUN, 2, state(), wait=False).result().at.step == 2


def test_what_is_to_be_done_then_may_use_the_store(store: CheckpointStore) -> None:
    def prune(_: Committed) -> None:
        store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))
        store.save("other", 1, state(), wait=False).result()

    store.save(RUN, 1, state())
    store.save(RUN, 2, state(), wait=False, then=prune).result()
    assert [one.at.ref for one in store.list()] == ["other@1", "run@2"]


def test_files_are_copied_before_the_call_returns(store: CheckpointStore, tmp_path: Path) -> None:
    trained = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"w": np.arange(9.0)}, trained)
    expected = trained.read_bytes()
    handle = store.save(RUN, 1, {"model": trained}, wait=False)
    trained.write_bytes(b"the next one")
    assert next(handle.result().path.rglob("*.safetensors")).read_bytes() == expected


def test_where_files_lie_in_it_is_told_though_their_trainer_removes_them(
    store: CheckpointStore, tmp_path: Path
) -> None:
    trained = tmp_path / "trained"
    trained.mkdir()
    safetensors.numpy.save_file({"w": np.arange(9.0)}, trained / "model.safetensors")
    removed, here = threading.Event(), threading.current_thread()

    def wait(_: int) -> None:
        assert threading.current_thread() is here or removed.wait(60)

    items = {"w": {"w": np.arange(3.0)}, "model": trained}
    handle = store.save(RUN, 1, items, wait=False, on_bytes=wait)
    shutil.rmtree(trained)
    removed.set()
    assert handle.result().manifest.items["model"].path == "model"


def test_a_failure_of_what_is_done_then_does_not_say_that_nothing_was_saved(store: CheckpointStore) -> None:
    def fail(_: Committed) -> None:
        raise OSError(28, "no room for the copy")

    handle = store.save(RUN, 1, state(), wait=False, then=fail)
    with pytest.raises(PartlyDoneError, match=r"run@1: was saved, but .* no room for the copy") as caught:
        handle.result()
    assert caught.value.committed is not None
    assert steps(store) == [1]


@pytest.mark.parametrize("late", [False, True])
def test_an_observed_run_notes_the_steps_after_the_capture(store: CheckpointStore, gate: Gate, late: bool) -> None:
    items = state()
    observer = store.observe(RUN, steps=3, prove="first", resume=["true"])
    handle = store.save(RUN, 1, items, wait=False, on_bytes=gate)
    if not late:
        gate.pass_on()
        handle.result()
    for step in range(2, 7):
        items["weights"]["w"] += 1.0
        observer.note(step, items)
    gate.pass_on()
    saved = handle.result()
    observer.note(7, items)
    noted = observation.read(saved.at, saved.manifest)
    assert noted is not None
    assert list(noted.steps) == [2, 3, 4]


def test_what_observes_a_run_does_not_count_a_save_that_failed(store: CheckpointStore, gate: Gate) -> None:
    items = state()
    observer = store.observe(RUN, steps=1, prove="first", resume=["true"])
    handle = store.save(RUN, 1, items, wait=False, on_bytes=gate)
    observer.note(2, items)
    gate.pass_on(failing=True)
    with pytest.raises(BackendError):
        handle.result()
    saved = store.save(RUN, 3, items, wait=False).result()
    observer.note(4, items)
    observer.close()
    noted = observation.read(saved.at, saved.manifest)
    assert noted is not None
    assert list(noted.steps) == [4]


STRANGER = """
import sys, threading
from ckptkit import CheckpointStore

class Thing: pass

store = CheckpointStore(sys.argv[1])
store.save("run", 1, {"thing": Thing()}, wait=False).result()
print(*[one.at.ref for one in store.list()])
"""


def test_an_item_whose_backend_cannot_copy_it_is_written_before_the_call_returns(tmp_path: Path) -> None:
    there = "assert __import__('threading').current_thread() is __import__('threading').main_thread()"
    code = GOOD.replace('        (directory / "thing")', f'        {there}\n        (directory / "thing")')
    environ = {**os.environ, "PYTHONPATH": f"{install(tmp_path / 'plugin', code)}:{os.environ.get('PYTHONPATH', '')}"}
    done = run(STRANGER, tmp_path, environ)
    assert done.stdout == "run@1\n", done.stderr


def run(script: str, folder: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(folder / "store")]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ)


ENDS = """
import sys
import numpy as np
from ckptkit import CheckpointStore
def slowly(_):
    import time
    time.sleep(0.3)
    FAILS
store = CheckpointStore(sys.argv[1])
store.save("run", 1, {"w": {"w": np.arange(9.0)}}, wait=False, on_bytes=slowly)
END
"""


@pytest.mark.parametrize(("end", "code"), [("", 0), ("sys.exit(3)", 3), ("raise SystemExit(143)", 143), ("1 / 0", 1)])
def test_the_end_of_the_program_waits_for_it(tmp_path: Path, end: str, code: int) -> None:
    done = run(ENDS.replace("FAILS", "").replace("END", end), tmp_path)
    assert done.returncode == code, done.stderr
    assert CheckpointStore(tmp_path / "store").verify(RUN).exit_code == 0


def test_a_program_whose_last_save_failed_does_not_end_well(tmp_path: Path) -> None:
    done = run(ENDS.replace("FAILS", "raise OSError(5, 'no more disk')").replace("END", "print('trained')"), tmp_path)
    assert done.returncode == 120
    assert done.stdout == "trained\n"
    assert "run@1 was not saved" in done.stderr
    assert "no more disk" in done.stderr


def _a_child(root: Path, result: "multiprocessing.SimpleQueue[Any]") -> None:
    store = CheckpointStore(root)
    began = time.monotonic()
    store.wait()
    store.save("child", 1, state(), wait=False).result()
    result.put(time.monotonic() - began)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_no_part_in_it(store: CheckpointStore, gate: Gate) -> None:
    handle = store.save(RUN, 1, state(), wait=False, on_bytes=gate)
    assert gate.reached.wait(60)
    context = multiprocessing.get_context("fork")
    result = context.SimpleQueue()
    child = context.Process(target=_a_child, args=(store.storage.root, result))  # type: ignore[attr-defined]
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert result.get() < 30  # it did not wait for what only its parent can end
    assert (handle.done(), [one.at.ref for one in store.list()]) == (False, ["child@1"])
    gate.pass_on()
    handle.result()
    assert store.verify().exit_code == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_that_was_forked_meanwhile_keeps_no_lock(store: CheckpointStore, gate: Gate) -> None:
    handle = store.save(RUN, 1, state(), wait=False, on_bytes=gate)
    assert gate.reached.wait(60)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)  # until the parent is through
        os._exit(0)
    gate.pass_on()
    handle.result()
    began = time.monotonic()
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))  # a lock of the child would hold it up for a minute
    assert time.monotonic() - began < 30
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0


def test_memory_is_made_ready_and_used_again(store: CheckpointStore) -> None:
    from ckptkit.store import in_flight

    assert store.reserve({**state(), "files": Path("any")}) >= 400_000
    for step in range(3):
        store.save(RUN, step, state(step), wait=False)
    size = in_flight._HERE.buffers.size
    store.wait()
    store.save(RUN, 3, state(3), wait=False).result()
    assert in_flight._HERE.buffers.size == size
    store.close()
    assert in_flight._HERE.buffers.size == 0
    assert store.verify().exit_code == 0
