"""Make bytes survive a power cut: write, fsync files, fsync folders, rename; and say plainly if that failed.

A failed fsync is final: the kernel marks the pages clean afterwards, so a second fsync would lie
(https://wiki.postgresql.org/wiki/Fsync_Errors). Nothing here is ever retried on the same file.
"""

import errno
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptkit.digest import open_regular
from ckptkit.errors import CkptkitError, DiskFullError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = {errno.EROFS, errno.EINVAL, errno.EACCES}
"""What a flush answers where nobody can write: there is nothing to flush."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE}
DESCRIPTORS = 16  # more than a command of ours opens at a time, beside its locks
_MORE_FILES = "raise the limit of open files (`ulimit -n`), or close some"


@contextmanager
def storage_errors(what: str, hint: str | None = None) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError (or DiskFullError) that names the file, with this hint."""
    try:
        yield
    except CkptkitError:
        raise
    except OSError as error:
        place = f"{what}: {error.filename}" if error.filename else what
        if error.errno in _FULL:
            raise DiskFullError(f"{place}: {error.strerror}") from error
        advice = _MORE_FILES if error.errno in _EXHAUSTED else hint
        raise StoreError(f"{place}: {error.strerror or error}", hint=advice) from error


def require_descriptors() -> None:
    """Raise StoreError unless some more files can be opened: otherwise intact files would look unreadable."""
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        while len(opened) < DESCRIPTORS:
            opened.append(os.dup(opened[0]))
    except OSError as error:
        if error.errno not in _EXHAUSTED:
            raise
        free = f"only {len(opened)} more files can be opened, {DESCRIPTORS} are needed"
        raise StoreError(f"{free} ({error.strerror})", hint=_MORE_FILES) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


@contextmanager
def undivided() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the body is done: for the few calls between two states of a store.

    Only this thread waits: where a process has others, one of them may take the signal, and Python then interrupts the
    main thread. What is done in the body must be whole at every point in any case; what it spares is a false message.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def fsync_path(path: Path | str) -> None:
    """Flush a file or a folder to the device; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_way(folder: Path) -> None:
    """Flush the folders that lead to a folder, as far as its file system goes; raises OSError.

    Whoever made them may not have done so, or was killed before: then a power cut takes all that lies in them. It costs
    little where there is nothing to flush. Folders that must not be read, or cannot be written to, are left out.
    """
    folder = folder.absolute()
    device = folder.stat().st_dev
    for path in folder.parents:
        if path.stat().st_dev != device:
            break
        try:
            fsync_path(path)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise


def write_file(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a new file and, where it is to last, flush it; raises OSError (FileExistsError if it exists)."""
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        if lasting:
            os.fsync(stream.fileno())


def replace_file(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Replace a file atomically: others see the old or the new content; where it is to last, after a power cut too."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    try:
        write_file(temporary, data, lasting=lasting)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if lasting:
        fsync_path(path.parent)


def walk(folder: Path, *, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield as ``os.walk``, which passes over what it cannot list: here that raises OSError, unless it is not there."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    return os.walk(folder, topdown=topdown, onerror=refuse)


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below (and including) a folder, giving files the mode that the umask asks for.

    Some libraries (safetensors) leave their files readable by the owner only.
    """
    umask = _umask()
    for path, folders, files in walk(folder, topdown=False):
        for name in files:
            descriptor = open_regular(Path(path, name))
            try:
                os.fchmod(descriptor, 0o666 & ~umask)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        for name in folders:
            if not stat.S_ISDIR(os.lstat(Path(path, name)).st_mode):
                raise StoreError(f"{Path(path, name)}: is a link, not a folder")
        fsync_path(Path(path))


def _umask() -> int:
    """Return the umask, where the system tells it without a moment in which other threads have another one."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def make_folders(folder: Path) -> None:
    """Create a folder and its parents, flushing each parent that got a new entry."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is a file, not a folder", str(path))
        path.mkdir(exist_ok=True)
        fsync_path(path.parent)


def require_space(folder: Path, needed: int) -> None:
    """Raise DiskFullError, saying how much is missing, unless the folder's file system has room for the bytes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            f"{folder}: the checkpoint needs about {human(needed)}, only {human(free)} are free, "
            f"{human(needed - free)} are missing; nothing was written"
        )


def human(size: float) -> str:
    """Return bytes for people, in powers of ten."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
