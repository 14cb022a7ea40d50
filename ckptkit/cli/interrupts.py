"""Ctrl-C: what was begun is undone, one line on stderr says what is so then, and the exit code is 130."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptkit.cli import output

EXIT_CODE = 128 + signal.SIGINT
_PATIENCE = 3.0  # seconds in which a second Ctrl-C does not stop what undoes things after the first

_last = float("-inf")
_could_change = False


class Interrupted(BaseException):
    """Ctrl-C was pressed.

    It is no KeyboardInterrupt: typer ends the program at one of those, and nothing could be said.

    Attributes:
        left: what is so now, in words; empty where nobody has looked.
    """

    def __init__(self, left: str = "") -> None:
        super().__init__(left)
        self.left = left


def install() -> None:
    """Let Ctrl-C raise Interrupted; where it was ignored (a job in the background), it still is."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _raise)


def may_change() -> None:
    """Note that from now on a store may be changed: that it was not can no more be said without looking."""
    global _could_change
    _could_change = True


def _raise(number: int, frame: object) -> None:
    global _last
    before, _last = _last, time.monotonic()
    if _last - before > _PATIENCE:
        raise Interrupted


@contextmanager
def leaving(left: Callable[[], str]) -> Iterator[None]:
    """Say what is so when Ctrl-C ends the body: ``left`` looks, and returns it in words."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        if isinstance(error, Interrupted) and error.left:  # by who was nearer to it
            raise
        raise Interrupted(left()) from error


def told(error: BaseException) -> int:
    """Print the line, and return the exit code."""
    left = (isinstance(error, Interrupted) and error.left) or ("" if _could_change else "nothing was changed")
    if sys.stderr.isatty():
        sys.stderr.write("\n" if os.environ.get("TERM") == "dumb" else "\r\x1b[K")  # the terminal has written ^C there
    output.echo(output.safe(f"interrupted{', ' if left else ''}{left}"))
    return EXIT_CODE
