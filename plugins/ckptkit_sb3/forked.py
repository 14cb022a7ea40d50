"""Asking a forked copy of this process: whatever the question changes is gone when the copy ends."""

import contextlib
import os
import select
import signal
import time
import warnings
from collections.abc import Callable, Iterator


def in_a_fork(ask: Callable[[], bytes], seconds: float) -> bytes | None:
    """Return what a forked copy of this process answers; None where it cannot be forked or does not answer in time.

    Args:
        ask: called in the copy, which runs this one thread and ends without any clean-up.
        seconds: how long to wait.
    """
    if not hasattr(os, "fork"):
        return None
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, none of which the copy needs
        child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            answer = memoryview(ask())
            while answer:
                answer = answer[os.write(writer, answer) :]
        finally:
            os._exit(0)
    os.close(writer)
    try:
        return b"".join(_read(reader, time.monotonic() + seconds)) or None
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read(reader: int, deadline: float) -> Iterator[bytes]:
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(reader, 1 << 16)
        if not data:
            return
        yield data
