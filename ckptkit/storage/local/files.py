"""Read and write single files of a store: regular files only, no link is followed, nothing is half written."""

import contextlib
import errno
import io
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ckptkit.digest import open_regular
from ckptkit.durable import fsync_path, make_folders, storage_errors, write_file
from ckptkit.errors import ConflictError, DamagedError, StoreError
from ckptkit.storage.interface import FileStat
from ckptkit.storage.local import stamps
from ckptkit.storage.local.place import Place

_BLOCK = 1 << 20


def opened(path: Path | str) -> BinaryIO:
    """Open a regular file for reading; raises as ``Storage.open``."""
    return io.BufferedReader(io.FileIO(_descriptor(path)))  # `open` would ask whether it is a terminal


def _descriptor(path: Path | str) -> int:
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise DamagedError(f"{path}: is not a regular file") from error
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error


def read(path: Path | str, limit: int) -> bytes:
    """Return a small file, at most ``limit`` bytes and one more; raises as ``Storage.read``."""
    descriptor, left, parts = _descriptor(path), limit + 1, []
    try:
        while left and (part := os.read(descriptor, min(left, _BLOCK))):  # a stream would take three times as long
            parts.append(part)
            left -= len(part)
    except OSError:
        with storage_errors(str(path)):
            raise
    finally:
        os.close(descriptor)
    return b"".join(parts)


def examined(folder: str, path: str) -> FileStat:
    """Return what is known of a file without reading it; raises as ``Storage.stat``."""
    end = path.find("/")
    while end != -1:
        if not stat.S_ISDIR(os.lstat(f"{folder}/{path[:end]}").st_mode):
            raise DamagedError(f"{path}: lies behind a link or a file, not in a folder")
        end = path.find("/", end + 1)
    found = os.lstat(f"{folder}/{path}")
    return FileStat(path, found.st_size, stat.S_ISREG(found.st_mode), stamps.stamp_of(found))


def names(folder: Path, within: str = "") -> Iterator[str]:
    """Yield all files below a folder, or one in it; without recursion, as a stranger's may be nested without end."""
    if within and not stat.S_ISDIR(os.lstat(folder / within).st_mode):
        return
    waiting = [f"{within}/" if within else ""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name


def put(path: Path, data: bytes, state_folder: Path, *, replace: bool) -> None:
    """Write a file of ckptkit's own into a checkpoint, all of it or nothing; raises as ``Storage.put``."""
    # Outside the checkpoint until it is whole: a file of ours that is half written would count as damage.
    temporary = state_folder / f"new-{uuid.uuid4().hex}"
    with storage_errors(str(path)):
        make_folders(state_folder)
        try:
            write_file(temporary, data)
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike a rename, a link never replaces what is there
        except FileExistsError as error:
            raise ConflictError(f"{path}: exists already") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        try:
            fsync_path(path.parent)
        except OSError:
            if not replace:  # a power cut might undo it: what is not sure to be there is not to be listed
                path.unlink()
            raise


def forget(at: Place) -> None:
    """Take away the manifest of a checkpoint, and what was noted of it."""
    for path in (*(at.home / name for name in at.notes), at.manifest):
        path.unlink(missing_ok=True)
    fsync_path(at.home)
