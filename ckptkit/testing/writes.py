"""Notes where this process writes while a backend saves, from Python's audit events; native code raises none."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_TARGET = {"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.truncate": 0}  # which argument is written
_noting: list[Path] | None = None
_installed = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _noting is None:
        return
    if event == "open":
        path, _, flags = arguments
        written = path if isinstance(flags, int) and flags & _WRITING else None
    else:
        written = arguments[_TARGET[event]] if event in _TARGET else None
    if isinstance(written, (str, bytes, os.PathLike)):
        _noting.append(Path(os.path.abspath(os.fsdecode(written))))


@contextmanager
def noted() -> Iterator[list[Path]]:
    """Yield the list of what is opened for writing, made, linked or renamed to, while the block runs."""
    global _noting, _installed
    if not _installed:  # an audit hook cannot be taken away again
        sys.addaudithook(_note)
        _installed = True
    found: list[Path] = []
    _noting = found
    try:
        yield found
    finally:
        _noting = None


def left_outside(written: list[Path], directory: Path) -> list[str]:
    """Return what was written elsewhere and is still there; compiled modules and devices do not count."""
    inside = Path(os.path.abspath(directory))
    return sorted(
        {
            str(path)
            for path in written
            if not path.is_relative_to(inside)
            and "__pycache__" not in path.parts
            and path.parts[1:2] not in (("dev",), ("proc",), ("sys",))
            and os.path.lexists(path)
        }
    )
