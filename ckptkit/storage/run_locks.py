"""The locks of one run in one process: saves share, changes are alone, and pins and tags have a lock of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptkit.errors import LockedError


class RunLocks:
    """See ``ckptkit.storage.interface.Lock`` for what each of them means.

    Args:
        run: its name, for messages.
        wait: seconds to wait for another change, pin or tag.
        wait_for_saves: seconds to wait for the saves that are under way.
    """

    def __init__(self, run: str, *, wait: float = 5.0, wait_for_saves: float = 60.0) -> None:
        self._run, self._wait, self._wait_for_saves = run, wait, wait_for_saves
        self._state = threading.Condition()
        self._saves = self._waiting = 0
        self._changing = self._marking = False

    @contextmanager
    def save(self) -> Iterator[None]:
        """Tell changes that a save is under way; those that wait already do not wait for this one too."""
        with self._state:
            joined = not self._waiting and not self._changing
            self._saves += joined
        try:
            yield
        finally:
            with self._state:
                self._saves -= joined
                self._state.notify_all()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Hold the run, and its pins and tags, alone."""
        with self._state:
            self._waiting += 1
            try:
                self._until(lambda: not self._changing, self._wait, "pruning")
                self._until(lambda: not self._saves and not self._changing, self._wait_for_saves, "saving")
                self._changing = True
            finally:
                self._waiting -= 1
        try:
            with self.refs():
                yield
        finally:
            with self._state:
                self._changing = False
                self._state.notify_all()

    @contextmanager
    def refs(self) -> Iterator[None]:
        """Hold the pins and tags of the run."""
        with self._state:
            self._until(lambda: not self._marking, self._wait, "pinning, tagging or pruning")
            self._marking = True
        try:
            yield
        finally:
            with self._state:
                self._marking = False
                self._state.notify_all()

    def _until(self, free: Callable[[], bool], seconds: float, doing: str) -> None:
        end = time.monotonic() + seconds
        while not free():
            if not self._state.wait(max(0.0, end - time.monotonic())) and not free():
                raise LockedError(f"{self._run}: another thread is {doing} here")
