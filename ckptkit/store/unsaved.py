"""Ends a process with a failure if one of its saves failed and nobody has heard of it."""

import atexit
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

LOG = logging.getLogger("ckptkit")


class Failed(Protocol):
    """A save that failed."""

    ref: str
    failure: BaseException | None


_watched: list[Callable[[], Sequence[Failed]]] = []


def watch(failures: Callable[[], Sequence[Failed]]) -> None:
    """Look, when the process ends, what has failed; a repeat has no effect."""
    if failures not in _watched:
        _watched.append(failures)
        atexit.register(_look, failures, os.getpid())


def _look(failures: Callable[[], Sequence[Failed]], process: int) -> None:
    failed = failures() if os.getpid() == process else ()
    for one in failed:
        LOG.error("%s was not saved: %s", one.ref, one.failure)
    if failed:
        sys.stdout = _Failing(sys.stdout, f"{failed[-1].ref} was not saved")


class _Failing:
    """Standard output that cannot be flushed: Python then ends with status 120, after all that it does at its end.

    Nothing else that runs this late changes the status, but for ``os._exit``, which would leave out what others do.
    """

    def __init__(self, real: Any, why: str) -> None:
        self._real, self._why = real, why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def flush(self) -> None:
        """Flush what is really there, and fail."""
        if self._real is not None:
            self._real.flush()
        raise RuntimeError(self._why)
