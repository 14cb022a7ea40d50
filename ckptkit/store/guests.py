"""Backends are guests: whatever one raises is told as its failure with the item, and ends this save."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.backend import (
    Backend,
)
from ckptkit.errors import (
    OF_THE_DISK,
    BackendError,
    CkptkitError,
    DiskFullError,
    StoreError,
)

_AS_BEFORE = "nothing was committed, older checkpoints are as they were"


@contextmanager
def guest(name: str, backend: Backend, folder: Path | None = None) -> Iterator[None]:
    """Report whatever the backend raises in the block as its failure with the item; it ends this save."""
    try:
        yield
    except CkptkitError as error:
        error.item = error.item or name
        raise
    except Exception as error:
        if folder is not None and _is_full(error, folder):
            raise DiskFullError("no space left on the device; nothing was committed", item=name) from error
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            place = error.filename or folder
            told = f"{place}: {error.strerror}" if place else f"{error.strerror}"
            raise StoreError(told, hint=f"{_AS_BEFORE}; see to the disk, or try again", item=name) from error
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise BackendError(
            f"backend {backend.name!r} failed: {reason}",
            hint=f"{_AS_BEFORE}; --debug shows the traceback",
            item=name,
        ) from error


def _is_full(error: BaseException | None, folder: Path) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    # C++ writers (torch) lose the errno: then the file system itself is asked.
    return shutil.disk_usage(folder).free < 1 << 20
