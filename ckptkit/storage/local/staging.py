"""Commit a checkpoint: stage it on the same file system, flush, rename; all or nothing."""

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptkit.durable import fsync_path, fsync_tree, fsync_way, make_folders, storage_errors, undivided, write_file
from ckptkit.errors import ConflictError, StoreError
from ckptkit.manifest.names import LAST_SAVE_NAME, MANIFEST_NAME, STATE_FOLDER
from ckptkit.storage.local.locks import try_lock

_OWNER = "owner.lock"


@contextmanager
def staged(state_folder: Path) -> Iterator[Path]:
    """Yield a fresh, empty folder to build a checkpoint in; whatever is left of it after the block is removed.

    A process that dies inside leaves the folder behind; its lock dies with it, so that ``leftovers`` can tell. A child
    that is forked inside has no part in it.
    """
    mine = os.getpid()
    holder = state_folder / "staging" / uuid.uuid4().hex
    folder = holder / "checkpoint"
    descriptor = -1
    try:
        with storage_errors("staging"):
            make_folders(holder.parent)
            holder.mkdir()  # not flushed: after a power cut nobody misses it
            descriptor = os.open(holder / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try_lock(descriptor)
            folder.mkdir()
        yield folder
    finally:
        if os.getpid() == mine:
            with undivided():
                shutil.rmtree(holder, ignore_errors=True)
        if descriptor >= 0:
            with suppress(OSError):  # nothing was written through it, and the commit may be done
                os.close(descriptor)


def seal(staging: Path, manifest: bytes) -> None:
    """Write the manifest, last of all files, and flush everything; raises StoreError."""
    with storage_errors("commit"):
        write_file(staging / MANIFEST_NAME, manifest)
        fsync_tree(staging)


def commit_folder(staging: Path, final: Path) -> None:
    """Make the sealed folder a checkpoint, by one exclusive rename.

    Raises:
        ConflictError: something is at the final place already.
        StoreError: the rename or the fsync after it failed; the folder is where it was, or the message says that it
            could not be taken back.
    """
    with storage_errors("commit"):
        if not (final.parent / STATE_FOLDER / LAST_SAVE_NAME).exists():  # the first, as far as anybody knows
            fsync_way(final.parent)
        try:
            os.rename(staging, final)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise ConflictError(f"{final}: exists already") from error
            raise
        try:
            fsync_path(final.parent)
        except OSError as error:  # a power cut might undo it: what may not be there must not be listed
            try:
                os.rename(final, staging)
            except OSError:
                told = f"{final}: is there, but a power cut may undo it ({error.strerror}), and it cannot be taken back"
                raise StoreError(told, hint="see to the disk; then save the step again with --replace") from error
            raise


def aside(key: str) -> str:
    """Return what a leftover, a path in a run's state folder, is called while it is purged: as dead as a dead save."""
    return f"staging/{key.rpartition('/')[2]}"


def leftovers(state_folder: Path, grace: float) -> list[Path]:
    """Return the staging folders of dead processes that are older than ``grace`` seconds."""
    result = []
    staging = state_folder / "staging"
    for holder in sorted(staging.iterdir()) if staging.is_dir() else []:
        try:
            old = time.time() - holder.lstat().st_mtime > grace
            if old and not _alive(holder):
                result.append(holder)
        except FileNotFoundError:
            continue  # its owner has just finished
    return result


def _alive(holder: Path) -> bool:
    try:
        descriptor = os.open(holder / _OWNER, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
