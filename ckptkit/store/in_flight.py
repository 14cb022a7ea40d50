"""The one save of this process that goes on behind: its thread, its memory, and what became of it.

There is one for all stores, since there is memory for one copy of the state. A forked child has none: it never waits
for its parent's save, nor has any part in it.
"""

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ckptkit.errors import CkptkitError, PartlyDoneError, UsageError
from ckptkit.store import unsaved
from ckptkit.store.committed import Committed

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ckptkit.buffers import Buffers
    from ckptkit.store.copying import Memory

LOG = logging.getLogger("ckptkit")
_LONG = 0.1  # seconds of waiting that are worth a line


class SaveHandle:
    """A save that goes on while the program does.

    Attributes:
        ref: ``RUN@STEP``.
        failure: what it failed with; None while it goes on, and where it did not fail.
        waited: seconds that the call waited for the save before this one.
        stall: seconds that the call took after that: until the state was copied.
    """

    def __init__(self, ref: str, store: str, waited: float) -> None:
        self.ref, self.waited, self.stall = ref, waited, 0.0
        self._store, self._process, self._told = store, os.getpid(), False
        self._ended = threading.Event()
        self._committed: Committed | None = None
        self.failure: BaseException | None = None

    def done(self) -> bool:
        """Return whether it has ended, well or not."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> Committed:
        """Wait until it is durable, and return what was committed.

        Args:
            timeout: at most so many seconds.

        Raises:
            TimeoutError: it is not done yet.
            UsageError: another process began it.
            CkptkitError: it failed; see ``CheckpointStore.save``.
        """
        if os.getpid() != self._process:
            raise UsageError(f"{self.ref}: is being saved by the process that this one was forked from")
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.ref}: is still being saved")
        self._told = True
        if self.failure is not None:
            raise self.failure
        assert self._committed is not None
        return self._committed

    def _run(self, work: Callable[[], Committed], harmless: type[CkptkitError] | None) -> None:
        try:
            self._committed = work()
        except BaseException as error:  # whatever it is: it is raised where the program can see it
            self.failure = error
            self._told = harmless is not None and isinstance(error, harmless)
            traceback.clear_frames(error.__traceback__)  # they hold the copy of the state
            LOG.warning("%s", told(self))  # who asks for it may do so much later


class _InFlight:
    """What goes on behind, in this process."""

    def __init__(self) -> None:
        self._buffers: Buffers | None = None
        self._crew: Executor | None = None
        self.turn = threading.Lock()
        self.now: SaveHandle | None = None
        self.thread: threading.Thread | None = None
        self.ended: list[SaveHandle] = []

    @property
    def buffers(self) -> "Buffers":
        """The memory for copies."""
        if self._buffers is None:
            from ckptkit.buffers import Buffers  # most commands only look whether something goes on

            self._buffers = Buffers()
        return self._buffers

    def memory(self) -> "Memory":
        """Return what the next save copies into, and who helps it."""
        from ckptkit.store.copying import Memory, crew

        if self._crew is None:
            self._crew = crew()
        return Memory(self.buffers, self._crew)

    def give_back(self) -> None:
        """Let the memory go, and those who fill it."""
        self._buffers = None
        if self._crew is not None:
            self._crew.shutdown(wait=False)
            self._crew = None


_HERE = _InFlight()


def _begin_anew() -> None:
    global _HERE
    _LEFT.append(_HERE)  # not taken apart: its thread, which owned what hangs on it, is not here
    _HERE = _InFlight()


_LEFT: list[_InFlight] = []
os.register_at_fork(after_in_child=_begin_anew)


def is_behind() -> bool:
    """Return whether the caller runs in the thread of the save that goes on behind."""
    return _HERE.thread is threading.current_thread()


def reserve(size: int) -> None:
    """Have memory for a copy of so many bytes ready."""
    with _HERE.turn:
        _HERE.buffers.reserve(size)


def give_back() -> None:
    """Give the memory back to the system, unless it is in use."""
    if _HERE.turn.acquire(blocking=False):
        _HERE.give_back()
        _HERE.turn.release()


@contextmanager
def turn(ref: str, store: str) -> Iterator["Turn"]:
    """Return a context of the next save that goes on behind; it begins when the one before has ended."""
    # What the thread of such a save saves itself, when it is told of an event, it does there and then.
    here, began = _InFlight() if is_behind() else _HERE, time.monotonic()
    before = here.now
    here.turn.acquire()
    waited = time.monotonic() - began
    if before is not None and waited > _LONG:
        LOG.info("%s: waited %.1f s until %s was saved", ref, waited, before.ref)
    mine = Turn(here, SaveHandle(ref, store, waited))
    try:
        yield mine
    finally:
        if not mine.went_on:
            mine.end()


class Turn:
    """The right to be the save that goes on behind."""

    def __init__(self, here: _InFlight, handle: SaveHandle) -> None:
        self._here, self.handle = here, handle
        self._began = time.monotonic()
        self.memory = here.memory()
        self.went_on = False

    def go_on(self, work: Callable[[], Committed], *, harmless: type[CkptkitError] | None = None) -> SaveHandle:
        """Let the work go on in a thread; the program, when it ends, waits for it.

        Args:
            work: returns what it committed.
            harmless: a failure of which a warning is enough, where nobody asks the handle.
        """
        here, handle = self._here, self.handle
        handle.stall = time.monotonic() - self._began

        def save() -> None:
            handle._run(work, harmless)
            self.end()

        here.now, self.went_on = handle, True
        if here is not _HERE:
            save()
            return handle
        here.thread = threading.Thread(target=save, name=f"ckptkit save {handle.ref}", daemon=False)
        unsaved.watch(_untold)
        try:
            here.thread.start()
        except RuntimeError:  # the limit of processes or of memory: then it is done here
            here.thread = threading.current_thread()
            save()
        return handle

    def end(self) -> None:
        """Let the next one begin."""
        here, handle = self._here, self.handle
        here.buffers.release()
        if here.now is handle:
            if handle.failure is not None:
                _HERE.ended.append(handle)
            here.now = here.thread = None
        handle._ended.set()
        here.turn.release()


def settle(store: str) -> None:
    """Wait for a store's save that goes on behind, and raise the failure of one that nobody has heard of yet.

    In the thread of such a save there is nothing to wait for.
    """
    if not is_behind():
        wait(store)
        surface(store)


def wait(store: str) -> None:
    """Wait for a store's save that goes on behind, well or not."""
    now = None if is_behind() else _HERE.now
    if now is not None and now._store == store:
        now._ended.wait()


def surface(store: str) -> None:
    """Raise the failure of a store's save that nobody has heard of yet."""
    for handle in failures(store):
        handle._told = True
        error = handle.failure
        assert error is not None
        if isinstance(error, CkptkitError) and not isinstance(error, PartlyDoneError):
            error.reason = f"{handle.ref} was not saved: {error.reason}"
        raise error


def told(handle: SaveHandle) -> str:
    """Return what became of a save that failed, in a line."""
    error = handle.failure
    return str(error) if isinstance(error, PartlyDoneError) else f"{handle.ref} was not saved: {error}"


def _untold() -> list[str]:
    return [told(handle) for handle in failures()]


def failures(store: str | None = None) -> list[SaveHandle]:
    """Return the saves that failed, of a store or of all, and of which nobody has heard yet."""
    _HERE.ended = [handle for handle in _HERE.ended if not handle._told]
    return [handle for handle in _HERE.ended if store in (None, handle._store)]
