"""SIGTERM as a request: a training loop sees it at its next clean point, saves, and ends with exit code 143."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, NoReturn

_LOG = logging.getLogger("ckptkit_hooks")
_TOGETHER = 1.0
"""Seconds within which a second SIGTERM is the same request: `timeout` and job schedulers signal the process and then
its group."""

_Handler = Callable[[int, FrameType | None], Any] | int


class StopRequest:
    """Watches for SIGTERM while a training loop runs.

    The first SIGTERM only raises the flag. A second one, a second or more later, ends the process at once. If the loop
    has ended without saying so (it raised an error), the previous handler gets the signal.

    Args:
        loops: qualified names of the methods that are the training loop (``Trainer.train``); while it runs, one of them
            is on the stack.
        enabled: False watches for nothing.
    """

    def __init__(self, loops: Collection[str], *, enabled: bool = True) -> None:
        self._loops = frozenset(loops)
        self._enabled = enabled
        self._previous: _Handler | None = None
        self._asked_at: float | None = None
        self._watching = False

    @property
    def requested(self) -> bool:
        """Whether a SIGTERM has come."""
        return self._asked_at is not None

    def watch(self) -> None:
        """Begin watching.

        Has no effect outside the main thread, where Python has no signals, or if SIGTERM is ignored.
        """
        self._asked_at = None
        if self._watching or not self._enabled or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
            return
        if threading.current_thread() is not threading.main_thread():
            _LOG.warning("SIGTERM will end this training unsaved: it does not run in the main thread")
            return
        self._previous = signal.signal(signal.SIGTERM, self._handle)
        self._watching = True

    def unwatch(self) -> None:
        """Put the previous handler back; the flag stays. Has no effect when not watching."""
        if self._watching and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before())
            self._watching = False

    def end(self, wait: Callable[[], None]) -> None:
        """Stop watching a training loop that is over, once what it saved is durable.

        Args:
            wait: waits for that.

        Raises:
            SystemExit: a SIGTERM came when there was no clean point any more.
        """
        try:
            wait()
        finally:
            self.unwatch()
        if self.requested:
            self.exit("all that was due")

    def _before(self) -> _Handler:
        return signal.SIG_DFL if self._previous is None else self._previous

    def exit(self, saved: str) -> NoReturn:
        """End the process as a SIGTERM would, now that everything is saved.

        Raises:
            SystemExit: always, with code 143, so that ``finally`` blocks still run.
        """
        self.unwatch()
        _LOG.warning("SIGTERM: saved %s, ending", saved)
        raise SystemExit(128 + signal.SIGTERM)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._is_training(frame):
            signal.signal(number, self._before())
            self._watching = False
            os.kill(os.getpid(), number)
        elif self._asked_at is None:
            self._asked_at = now
            _LOG.warning("SIGTERM: saving at the next clean point, then ending; a second one ends at once")
        elif now - self._asked_at >= _TOGETHER:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _is_training(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code.co_qualname in self._loops:
                return True
            frame = frame.f_back
        return False
