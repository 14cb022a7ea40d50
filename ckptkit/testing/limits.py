"""A time limit for what a backend does: one that hangs fails its law and does not hang the kit."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def in_time(seconds: float, what: str) -> Iterator[None]:
    """Fail when the block does not end in time.

    An alarm interrupts Python and what waits in the system, not a loop in native code that never comes back. There is
    no limit outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{what} did not end within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining)
        signal.signal(signal.SIGALRM, before)
