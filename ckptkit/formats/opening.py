"""Opening what a reader was given: bytes, or a regular file that is never reached through a symbolic link."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ckptkit.digest import open_regular


@contextmanager
def opened(source: Path | bytes) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file (never through a symlink) or bytes for reading; gives the stream and its length.

    Raises:
        DamagedError: not a regular file.
        OSError: cannot be opened.
    """
    if isinstance(source, bytes):
        yield BytesIO(source), len(source)
        return
    with os.fdopen(open_regular(source), "rb") as stream:
        yield stream, os.fstat(stream.fileno()).st_size


def reason(error: Exception) -> str:
    """Return in a few words why a file could not be opened, without its path."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not a regular file"
