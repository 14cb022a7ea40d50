"""Put a new checkpoint in the place of an old one: at every moment one of the two is there, whatever fails.

Where the file system can exchange two names in one step (Linux: ext4, XFS, Btrfs, tmpfs), not even a process that is
killed leaves the place empty. Elsewhere the old one goes to the trash first, and comes back when the new one cannot
be put there; only a kill between these two renames leaves it in the trash, for ``undelete``.
"""

import errno
import os
from pathlib import Path

from ckptkit.durable import fsync_path, storage_errors
from ckptkit.storage.local import staging, trash
from ckptkit.storage.local.place import Place

_HERE = -100  # AT_FDCWD: paths are relative to the current folder
_EXCHANGE = 2  # RENAME_EXCHANGE
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV}


def commit(staged: Path, old: Place, state_folder: Path, ref: str) -> None:
    """Make the sealed folder a checkpoint at the place of another one, which goes to the trash.

    Raises:
        StoreError: it could not be done; the old one is where it was.
    """
    with storage_errors("commit"):
        exchanged = exchange(staged, old.folder)
    if not exchanged:
        removed = trash.remove(old, state_folder, ref)
        try:
            staging.commit_folder(staged, old.folder)
        except BaseException:
            trash.restore(removed, state_folder.parent)
            raise
        return
    try:
        with storage_errors("commit"):
            fsync_path(old.folder.parent)
        trash.remove(old, state_folder, ref, aside=staged)
    except BaseException:  # also a signal: whatever is in the staging folder in the end is removed with it
        with storage_errors("commit"):
            exchange(staged, old.folder)
        raise


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; False if the system or the file system cannot. Raises OSError."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
