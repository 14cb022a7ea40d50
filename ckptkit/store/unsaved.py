"""Ends a process with a failure if one of its saves failed and nobody has heard of it."""

import atexit
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

LOG = logging.getLogger("ckptkit")
_watched: list[Callable[[], Sequence[str]]] = []


def watch(untold: Callable[[], Sequence[str]]) -> None:
    """Ask, when the process ends, what has failed, one line each; a repeat has no effect."""
    if untold not in _watched:
        _watched.append(untold)
        atexit.register(_look, untold)


def _look(untold: Callable[[], Sequence[str]]) -> None:
    lines = untold()
    for line in lines:
        LOG.error("%s", line)
    if lines:
        sys.stdout = _Failing(sys.stdout, lines[-1])


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
