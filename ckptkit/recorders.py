"""Recorders: what other distributions bring to note what happens, through the entry-point group ``ckptkit.recorders``.

An entry point names what makes one, without arguments; it is loaded when the first event is to be told::

    [project.entry-points."ckptkit.recorders"]
    my-log = "my_package:MyRecorder"

Each recorder lives in a thread of its own: importing it, its database and its mistakes delay no save. Events are kept
in memory until it has taken them; the process waits for it when it ends, but not for long.
"""

import atexit
import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from queue import Full, Queue
from typing import TYPE_CHECKING, Protocol

from ckptkit import extensions, scratch
from ckptkit.extensions import Extension, reason
from ckptkit.formats.escaped import escaped
from ckptkit.manifest.redaction import redact_text

if TYPE_CHECKING:
    from ckptkit.events import Event  # where nobody records, nobody waits for its import

LOG = logging.getLogger("ckptkit")
GROUP = "ckptkit.recorders"
WAITING = 10_000
"""How many events wait for a slow recorder; what happens beyond is not recorded."""
AT_THE_END = 5.0
"""Seconds that the end of the process waits for all recorders together."""


class Recorder(Protocol):
    """What an entry point of the group makes."""

    def record(self, event: "Event", /) -> None:
        """Note one event; called in the order of events, in a thread that is the recorder's own."""


def told() -> "Sequence[Channel]":
    """Return the recorders of this process; none in a rehearsal, which is not the run."""
    return () if scratch.current() is not None else _of_process(os.getpid())


@cache
def _of_process(number: int) -> "Sequence[Channel]":
    # By number: a fork has none of the threads, and begins anew.
    channels = [Channel(name, brought) for name, brought in extensions.installed(GROUP).items()]
    if channels:
        atexit.register(_end, number, channels)
    return channels


def _end(number: int, channels: "Sequence[Channel]") -> None:
    if os.getpid() != number:
        return
    until = time.monotonic() + AT_THE_END
    for channel in channels:
        channel.end(until)


class Channel:
    """The way to one recorder.

    Args:
        name: of its entry points.
        brought: these; more than one is one too many.
    """

    def __init__(self, name: str, brought: Sequence[Extension]) -> None:
        self._name, self._brought = name, brought
        self._events: Queue[Event] = Queue(WAITING)
        self._complained: set[str] = set()
        self._closed = False
        threading.Thread(target=self._live, name=f"ckptkit recorder {name}", daemon=True).start()

    def tell(self, event: "Event") -> None:
        """Hand over one event; never waits, and never raises."""
        if self._closed:
            return
        try:
            self._events.put_nowait(event)
        except Full:
            self._complain("is too slow", f"{WAITING} events wait for it; what happens meanwhile is not recorded")

    def settle(self, seconds: float) -> bool:
        """Wait until it has taken what it was told, and return whether it has."""
        with self._events.all_tasks_done:
            return self._events.all_tasks_done.wait_for(lambda: not self._events.unfinished_tasks, max(0.0, seconds))

    def end(self, until: float) -> None:
        """Wait until the moment, and say what is lost then."""
        if not self.settle(until - time.monotonic()):
            count = self._events.unfinished_tasks
            lost = "1 event was" if count == 1 else f"{count} events were"
            self._complain("is too slow", f"{lost} not recorded when the process ended", again=True)

    def _live(self) -> None:
        try:
            recorder = self._made()
        except (Exception, SystemExit) as error:  # a stranger's code may raise anything
            self._complain("cannot be loaded", reason(error))
            self._closed = True
            recorder = None
        while True:
            event = self._events.get()
            try:
                if recorder is not None:
                    recorder.record(event)
            except (Exception, SystemExit) as error:
                self._complain("failed", f"{event.kind}: {reason(error)}")
            finally:
                del event
                self._events.task_done()

    def _made(self) -> Recorder:
        first, *others = self._brought
        if others:
            raise LookupError(f"more than one distribution brings it ({', '.join(x.package for x in self._brought)})")
        recorder: Recorder = first.load()()
        if not callable(getattr(recorder, "record", None)):
            raise TypeError(f"{first.value} makes a {type(recorder).__name__} without a method record(event)")
        return recorder

    def _complain(self, what: str, why: str, *, again: bool = False) -> None:
        """Say it once of each kind: a database that is away would fill the log."""
        if what in self._complained and not again:
            return
        self._complained.add(what)
        by = self._brought[0].distribution
        LOG.warning("recorder %r (%s) %s: %s", self._name, by, what, redact_text(escaped(why, 300)))
