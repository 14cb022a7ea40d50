"""What a store saves is copied to its mirror, behind the program's back: one checkpoint at a time, the oldest first.

Whatever goes wrong with it is told, and costs no save anything: the next save tries again, and what a process that died
has left over is found by the next one, beyond what the mirror has.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ckptkit.errors import CkptkitError, PartlyDoneError
from ckptkit.progress import Meter
from ckptkit.storage import Entry, Storage
from ckptkit.store import copying_to, tiers
from ckptkit.store.arriving import Arrival, Arrivals
from ckptkit.store.happened import Doing

if TYPE_CHECKING:
    from ckptkit.events import Event

LOG = logging.getLogger("ckptkit")


class Mirroring:
    """The copying of one store's saves; it owns a thread as long as there is something to copy.

    Args:
        source: the store.
        arrivals: opens what brings them to the mirror.
        tell: tells an event.
    """

    def __init__(
        self, source: Storage, arrivals: Callable[[], Arrivals], tell: "Callable[[Callable[[], Event]], None]"
    ) -> None:
        self._source, self._arrivals, self._tell = source, arrivals, tell
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[Entry, bool]]] = {}
        self._left: dict[str, list[tuple[Entry, bool]]] = {}
        self._looked: set[str] = set()
        self._failures: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._given_up = False

    def saved(self, at: Entry, *, replaces: bool = False) -> None:
        """Copy a checkpoint, and what of its run could not be copied before; the program, when it ends, waits for it.

        Args:
            at: what was saved.
            replaces: it has taken the place of another one, as it is to do in the mirror.
        """
        if self._process != os.getpid():  # a forked child has no part in what its parent copies
            self._begin()
        with self._lock:
            left = self._left.pop(at.run, [])
            self._waiting.setdefault(at.run, []).extend([*left, (at, replaces)])
            self._given_up = False
            if self._thread is not None:
                return
            atexit.unregister(self._leave)
            atexit.register(self._leave)
            self._thread = threading.Thread(target=self._work, name="ckptkit mirror", daemon=False)
            try:
                self._thread.start()
                return
            except RuntimeError:  # the interpreter is ending, or there are too many: then it is done here
                self._thread = threading.current_thread()
        self._work()

    def wait(self) -> None:
        """Wait until all is copied, or has failed."""
        while self._process == os.getpid() and (thread := self._thread) is not None:
            if thread is threading.current_thread():
                return
            thread.join()

    def missing(self) -> list[str]:
        """Wait, and return one line for each run of which something is not in the mirror; each is told once.

        Who is interrupted while waiting wants no more copying: the next save goes on with it.
        """
        try:
            self.wait()
        except BaseException:
            self._given_up = True
            raise
        if self._process != os.getpid():
            return []
        told, self._failures = list(self._failures.values()), {}
        return told

    def _leave(self) -> None:
        for line in self.missing():
            LOG.warning("%s", line)

    def _work(self) -> None:
        while True:
            with self._lock:
                run = None if self._given_up else next(iter(self._waiting), None)
                if run is None:
                    self._thread = None
                    return
                todo = self._waiting.pop(run)
            self._copy(run, todo)

    def _copy(self, run: str, todo: list[tuple[Entry, bool]]) -> None:
        began, arrivals = time.monotonic(), self._arrivals()
        arrivals.on_bytes = self._go_on
        try:
            if run not in self._looked:
                todo = [*((at, False) for at in self._beyond(arrivals.storage, run)), *todo]
                self._looked.add(run)
            replacing = {at for at, replaces in todo if replaces}
            missing = []
            for at in _in_order(at for at, _ in todo):
                arrivals.replaces = at in replacing
                done = copying_to.copy(self._source, [at], arrivals, meter=Meter("mirror"), each=self._told)
                left = [one for one in done.checkpoints if not one.is_there and one.outcome != "gone"]
                missing += [*(f"{one.source.ref}: {one.reason}" for one in left), *done.undone]
            self._note(run, "; ".join(missing))
        except Exception as error:  # whatever it is: it must not end the program that trains
            reason = error.message if isinstance(error, CkptkitError) else f"{type(error).__name__}: {error}"
            with self._lock:
                self._left[run] = [*todo, *self._left.get(run, [])]
            last, doing = todo[-1][0], Doing(self._source, began)
            self._tell(lambda: doing.not_copied(last, arrivals.storage.url, reason))
            self._note(run, f"{last.ref}: {reason}")

    def _go_on(self, count: int) -> None:
        if self._given_up:
            raise PartlyDoneError("interrupted")

    def _told(self, began: float, one: Arrival) -> None:
        if one.outcome != "gone":
            self._tell(lambda: Doing(self._source, began).copied(one, self._arrivals().storage.url))

    def _note(self, run: str, failure: str) -> None:
        before = self._failures.pop(run, None)
        if not failure:
            return
        self._failures[run] = f"not in the mirror: {failure}; the next save of {run}, or `ckptkit copy`, tries again"
        if self._failures[run] != before:
            LOG.warning("%s", self._failures[run])

    def _beyond(self, mirror: Storage, run: str) -> list[Entry]:
        """Return what the run has beyond all that the mirror has of it."""
        there = [at.step for at in tiers.listed(mirror, run) if at.step is not None]
        newest = max(there, default=-1)
        return [at for at in self._source.scan(run) if at.step is not None and at.step > newest]


def _in_order(places: Iterable[Entry]) -> list[Entry]:
    return sorted(dict.fromkeys(places), key=lambda at: -1 if at.step is None else at.step)
