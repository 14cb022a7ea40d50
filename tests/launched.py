"""Commands that start a program under other conditions than this process has.

In place of ``preexec_fn``, which forks this process in Python: with the threads that any library left in it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

_THEN = "; os.execv(sys.argv[1], sys.argv[1:])"


def interruptible(command: Sequence[str | Path]) -> list[str]:
    """Let Ctrl-C work in the program, also where whoever runs the tests ignores it."""
    return _started("import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)", command)


def limited(kind: int, limit: int, command: Sequence[str | Path]) -> list[str]:
    """Set the soft limit of a resource, ``resource.RLIMIT_...``, for the program."""
    limits = f"({limit}, resource.getrlimit({kind})[1])"
    return _started(f"import os, resource, sys; resource.setrlimit({kind}, {limits})", command)


def _started(first: str, command: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-c", first + _THEN, *map(str, command)]
