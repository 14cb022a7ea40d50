"""Stamps of the files of a checkpoint: what changes whenever one of them may have changed.

The time of change (ctime) is the kernel's: no program can set it back. But it moves in ticks (milliseconds, or two
seconds on old file systems), so a stamp tells two states apart only if a tick lies between them: who keeps a stamp
must know that the file system's clock has moved on since the file was changed.
"""

import contextlib
import functools
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ckptkit.layouts.adopted import parted
from ckptkit.manifest.names import OBSERVED_NAME, SHOWN_NAME, SIGNATURES_NAME
from ckptkit.storage import mounts
from ckptkit.storage.interface import Stamp
from ckptkit.storage.local.place import Place

GRANULARITY = 2_000_000_000
"""ns: the coarsest clock in use."""
_TRIES = 6
_PAUSE = 0.003  # seconds; a tick of Linux takes 1 to 10 ms


def of_own(folder: str) -> dict[str, Stamp] | None:
    """Return the stamps of all files of a checkpoint in a folder of its own by path; None where they cannot be had.

    All that lies there counts, so that what is added, removed or put in place of a file is seen, but for
    ``shown.json`` and ``signatures.json``, which are no part of a checkpoint.
    """
    try:
        found = _inside(folder)
    except OSError:
        return None
    for name in (SHOWN_NAME, SIGNATURES_NAME):
        found.pop(name, None)
    return found


def of_shared(at: Place, listed: Iterable[str]) -> dict[str, Stamp] | None:
    """Return the same of one that shares its folder: of its manifest, its observation, and the files that are listed.

    Whatever else lies in the folders of these counts, too.

    Args:
        at: the checkpoint.
        listed: the files of its manifest.
    """
    try:
        own = _beside(str(at.home), [at.manifest.name, at.layout.own(at.name, OBSERVED_NAME)])
        flat, folders = parted(listed)
        around = str(at.folder)
        return own | _beside(around, flat) | {k: v for f in folders for k, v in _inside(around, f"{f}/").items()}
    except OSError:
        return None


def _beside(folder: str, names: Iterable[str]) -> dict[str, Stamp]:
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            found[name] = stamp_of(os.lstat(f"{folder}/{name}"))
    return found


def _inside(folder: str, within: str = "") -> dict[str, Stamp]:
    found = {}
    waiting = [within]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(f"{folder}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
                else:
                    found[prefix + entry.name] = stamp_of(entry.stat(follow_symlinks=False))
    return found


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp of a file.

    Where it has several names (hard links), its time of change is 0, for none: it changes with every name that comes
    or goes, and others come and go with other checkpoints.
    """
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns if found.st_nlink == 1 else 0, found.st_ino


def of_folder(folder: Path) -> str:
    """Return what changes whenever a name came to a folder or went; empty where there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def old_enough(stamps: Mapping[str, Stamp], now: float) -> bool:
    """Return whether any change after ``now`` (seconds since 1970) must show in the stamps, by this machine's clock."""
    return _newest(stamps) + GRANULARITY < now * 1e9


def settled(stamps: Mapping[str, Stamp], folder: Path) -> bool:
    """Return whether any change from now on must show in the stamps, by the clock of the file system itself.

    A file is created in ``folder``, on the same file system, and its mtime set back. If its time of change is later
    than that of all files, the clock has moved on, and the file system keeps a time that cannot be set. Waits a few
    ticks at most.
    """
    newest = _newest(stamps)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:  # without a name: nothing is left of it after a crash
            for _ in range(_TRIES):
                os.utime(probe.fileno(), ns=(0, 0))
                if os.fstat(probe.fileno()).st_ctime_ns > newest:
                    return True
                time.sleep(_PAUSE)
    except OSError:
        return False
    return False


@functools.lru_cache(maxsize=64)
def keeps_time_of_change(folder: Path) -> bool:
    """Return whether the file system of a folder keeps a time of change that no program can set."""
    return mounts.keeps_time_of_change(mounts.kind_of(folder, mounts.table()))


def _newest(stamps: Mapping[str, Stamp]) -> int:
    return max((max(written, changed) for _, written, changed, _ in stamps.values()), default=0)


def identity(root: Path) -> str:
    """Return what tells a store from any other: where it is and which folder that is; a copy is another store."""
    try:
        found = os.stat(root)
    except OSError:
        return f"{root.resolve()}"
    return f"{root.resolve()}:{found.st_dev:x}:{found.st_ino:x}"
