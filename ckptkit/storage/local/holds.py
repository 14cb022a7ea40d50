"""The hold of a run that is being written: one process at a time, let go by its death and by nothing less.

A POSIX record lock belongs to its process: forked workers do not inherit it, so those that outlive a killed training
cannot keep the run. The price: it is gone as soon as the process closes *any* descriptor of the file. So this module
opens the file once, and remembers.
"""

import contextlib
import fcntl
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ckptkit.durable import make_folders, storage_errors
from ckptkit.errors import LockedError, StoreError
from ckptkit.formats import strict_json
from ckptkit.formats.escaped import escaped
from ckptkit.manifest.redaction import redact_argv
from ckptkit.storage.local.locks import granted

NAME = "writer.lock"
_MAX_BYTES = 1 << 16
_MOST = 240  # characters of the other process in a message
_guard = threading.Lock()
_held: dict[tuple[int, int], int] = {}  # (device, inode) -> descriptor


def hold(state_folder: Path, run: str) -> None:
    """Hold a run until this process ends, or lets it go; holding it again has no effect.

    Where the file system has no locks (some NFS, Lustre) nothing is held, and that is allowed.

    Args:
        state_folder: the run's ``.ckptkit``; created if it is missing.
        run: its name, for the message.

    Raises:
        LockedError: another process holds it; the message says which.
        StoreError: the file cannot be written.
    """
    path = state_folder / NAME
    with _guard, storage_errors(run):
        if state_folder.is_symlink():
            raise StoreError(f"{state_folder}: is a symbolic link, which is never followed")
        make_folders(state_folder)
        _forget_removed()
        if (known := _held.get(_key(path) or (-1, -1))) is not None:
            if not _try(known):  # a copy of the run's folder, made by this process, lost it to another one
                raise _locked(run, _note(known))
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            if not _try(descriptor):
                raise _locked(run, _note(descriptor))
            data = strict_json.dumps(_mine(), indent=1) + b"\n"
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
            status = os.fstat(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        _held[status.st_dev, status.st_ino] = descriptor


def release(state_folder: Path) -> None:
    """Let go of a run that this process holds; has no effect if it does not."""
    with _guard:
        descriptor = _held.pop(_key(state_folder / NAME) or (-1, -1), None)
        if descriptor is not None:
            os.close(descriptor)


def holder(state_folder: Path) -> dict[str, Any] | None:
    """Return what the process that holds a run wrote about itself, or None: nobody holds it. Raises OSError."""
    path = state_folder / NAME
    with _guard:
        if (known := _held.get(_key(path) or (-1, -1))) is not None:  # to open it here and close it would let it go
            return _note(known)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            free = granted(lambda: fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB))
            return None if free else _note(descriptor)
        finally:
            os.close(descriptor)


def who(note: dict[str, Any]) -> str:
    """Return who wrote a note, for a person."""
    pid, host, started = (note.get(name) for name in ("pid", "host", "started"))
    if pid is None:
        return "another process"
    words = note.get("command")
    command = " ".join(map(str, words)) if isinstance(words, list) else ""
    told = f"process {pid} on {host} since {started}"
    return escaped(f"{told}: {command}" if command else told, _MOST)


def _key(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _try(descriptor: int) -> bool:
    return granted(lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _forget_removed() -> None:
    """Close the holds on runs whose folder was removed: nobody can meet us there any more."""
    for key, descriptor in list(_held.items()):
        if os.fstat(descriptor).st_nlink == 0:
            os.close(_held.pop(key))


def _forget_all() -> None:
    """In a forked child nothing is held; its copies of the descriptors are of no use there."""
    global _guard  # another thread may have had it at the fork
    _guard = threading.Lock()
    for descriptor in _held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_all)


def _mine() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": redact_argv(sys.orig_argv),
    }


def _note(descriptor: int) -> dict[str, Any]:
    """Return what the holder wrote; nothing if it is just writing it."""
    try:
        value = strict_json.loads(os.pread(descriptor, _MAX_BYTES, 0))
    except strict_json.StrictJsonError:
        return {}
    return value if isinstance(value, dict) else {}


def _locked(run: str, note: dict[str, Any]) -> LockedError:
    pid = note.get("pid")
    stop = "stop it" if pid is None else f"stop it (kill {pid})"
    return LockedError(
        f"{run}: is being written by {who(note)}",
        hint=f"let it end, {stop}, or give this training another run name; nothing was changed",
    )
