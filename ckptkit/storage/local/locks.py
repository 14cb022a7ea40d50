"""Advisory locks that die with their process. Correctness never needs them; they only keep busy hands apart."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptkit.durable import make_folders, storage_errors
from ckptkit.errors import LockedError, StoreError

# File systems without flock (some NFS, Lustre) answer with these: then there is no lock, and that is allowed.
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524}
BUSY = {errno.EWOULDBLOCK, errno.EACCES}
_TURN = "turn.lock"
_POLL = 0.05  # seconds


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock without waiting; return False if another process holds it."""
    return granted(lambda: fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB))


def granted(ask: Callable[[], object]) -> bool:
    """Ask for a lock; return False if another process holds it. Where there are no locks, that is allowed."""
    try:
        ask()
    except OSError as error:
        if error.errno in BUSY:
            return False
        if error.errno not in UNSUPPORTED:
            raise
    return True


@contextmanager
def saving(state_folder: Path) -> Iterator[None]:
    """Tell prunes that a save is under way; never waits, not even for a prune.

    While a prune waits for its turn, saves that begin do not join those that it waits for: otherwise steady savers, one
    of which is always busy, would never let it through.
    """
    with _opened(state_folder) as descriptor:
        with _opened(state_folder, _TURN) as turn:
            if try_lock(turn, shared=True):
                try_lock(descriptor, shared=True)
        yield


@contextmanager
def alone(state_folder: Path, *, wait: float = 5.0, wait_for_saves: float = 60.0) -> Iterator[None]:
    """Hold the run for changes to what is committed.

    Pins and tags are held as well: what is pinned must not change while others are removed.

    Args:
        state_folder: the run's ``.ckptkit``.
        wait: seconds to wait for another prune.
        wait_for_saves: seconds to wait for the saves that are under way.

    Raises:
        LockedError: it took longer.
    """
    with _opened(state_folder) as descriptor:
        with _held(state_folder, _TURN, wait, "waiting to prune"):
            _take(descriptor, state_folder, wait, wait_for_saves)
        with marking(state_folder, wait=wait):
            yield


def _take(descriptor: int, state_folder: Path, wait: float, wait_for_saves: float) -> None:
    began = time.monotonic()
    while not try_lock(descriptor):
        saves = try_lock(descriptor, shared=True)  # only they share it; trying again lets it go
        if time.monotonic() - began > (wait_for_saves if saves else wait):
            raise LockedError(f"{state_folder.parent}: another ckptkit is {'saving' if saves else 'pruning'} here")
        time.sleep(_POLL)


@contextmanager
def marking(state_folder: Path, *, wait: float = 5.0) -> Iterator[None]:
    """Hold the run's pins and tags; a save that is under way does not prevent marking."""
    with _held(state_folder, "refs.lock", wait, "pinning, tagging or pruning"):
        yield


@contextmanager
def _held(state_folder: Path, name: str, wait: float, doing: str) -> Iterator[None]:
    with _opened(state_folder, name) as descriptor:
        deadline = time.monotonic() + wait
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise LockedError(f"{state_folder.parent}: another ckptkit is {doing} here")
            time.sleep(_POLL)
        yield


@contextmanager
def _opened(state_folder: Path, name: str = "lock") -> Iterator[int]:
    with storage_errors(str(state_folder)):
        if state_folder.is_symlink():
            raise StoreError(f"{state_folder}: is a symbolic link, which is never followed")
        make_folders(state_folder)
        descriptor = os.open(state_folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    mine = os.getpid()
    try:
        yield descriptor
    finally:
        # A child that was forked meanwhile would keep the lock as long as it lives; itself it must not let it go.
        if os.getpid() == mine:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        with suppress(OSError):  # nothing was written through it: what was done under the lock is done
            os.close(descriptor)
