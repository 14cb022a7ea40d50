"""Advisory locks that die with their process. Correctness never needs them; they only keep busy hands apart."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.errors import LockedError, StoreError
from ckptkit.storage.durable import make_folders, storage_errors

# File systems without flock (some NFS, Lustre) answer with these: then there is no lock, and that is allowed.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524}
BUSY = {errno.EWOULDBLOCK, errno.EACCES}


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock without waiting; return False if another process holds it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            return False
        if error.errno not in UNSUPPORTED:
            raise
    return True


@contextmanager
def saving(state_folder: Path) -> Iterator[None]:
    """Tell prunes that a save is under way; never waits, not even for a prune."""
    with _opened(state_folder) as descriptor:
        try_lock(descriptor, shared=True)
        yield


@contextmanager
def alone(state_folder: Path, *, wait: float = 5.0) -> Iterator[None]:
    """Hold the run for changes to what is committed; raises LockedError after ``wait`` seconds.

    Pins and tags are held as well: what is pinned must not change while others are removed.
    """
    with _held(state_folder, "lock", wait, "saving or pruning"), marking(state_folder, wait=wait):
        yield


@contextmanager
def marking(state_folder: Path, *, wait: float = 5.0) -> Iterator[None]:
    """Hold the run's pins and tags; a save that is under way does not keep anybody from marking."""
    with _held(state_folder, "refs.lock", wait, "pinning, tagging or pruning"):
        yield


@contextmanager
def _held(state_folder: Path, name: str, wait: float, doing: str) -> Iterator[None]:
    with _opened(state_folder, name) as descriptor:
        deadline = time.monotonic() + wait
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise LockedError(f"{state_folder.parent}: another ckptkit is {doing} here")
            time.sleep(0.05)
        yield


@contextmanager
def _opened(state_folder: Path, name: str = "lock") -> Iterator[int]:
    with storage_errors(str(state_folder)):
        if state_folder.is_symlink():
            raise StoreError(f"{state_folder}: is a symbolic link, which is never followed")
        make_folders(state_folder)
        descriptor = os.open(state_folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
