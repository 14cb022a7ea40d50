"""Folders for temporary files on this machine: what a save writes, and copies of what backends read.

Each has a lock that dies with its process; who makes a new one removes those of dead processes. ``scratch_space`` says
where.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.durable import storage_errors, undivided
from ckptkit.storage import scratch_space

_PREFIX = "ckptkit-scratch-"
_OWNER = "owner.lock"
_YOUNG = 60.0  # seconds in which a folder may not have its lock yet


@contextmanager
def fresh(needed: int = 0, *, kept: bool = False) -> Iterator[Path]:
    """Yield a fresh, empty folder; it is removed after the block, but not by a child that was forked inside.

    Args:
        needed: bytes of copies that it will hold.
        kept: whether nobody knows until when.

    Raises:
        DiskFullError: these do not fit.
    """
    with scratch_space.taken(needed, kept=kept) as place:
        yield from _fresh(place)


def _fresh(place: Path) -> Iterator[Path]:
    mine, descriptor = os.getpid(), -1
    holder = place / f"{_PREFIX}{secrets.token_hex(8)}"  # known before it is there: Ctrl-C may come at any moment
    try:
        with storage_errors("temporary files"):
            _remove_dead(place)
            holder.mkdir(0o700)
            descriptor = os.open(holder / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _lock(descriptor)
            inner = holder / "files"
            inner.mkdir()
        yield inner
    finally:
        if os.getpid() == mine:
            _remove(holder)
        if descriptor >= 0:
            os.close(descriptor)


def _remove(holder: Path) -> None:
    try:
        with undivided():
            shutil.rmtree(holder, ignore_errors=True)
    except BaseException:  # Ctrl-C that another thread took
        shutil.rmtree(holder, ignore_errors=True)
        raise


def _lock(descriptor: int) -> bool:
    """Return whether the lock was free, or there are no locks there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _remove_dead(place: Path) -> None:
    for holder in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            found = holder.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _YOUNG and not _alive(holder):
                shutil.rmtree(holder, ignore_errors=True)


def _alive(holder: Path) -> bool:
    try:
        descriptor = os.open(holder / _OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)
