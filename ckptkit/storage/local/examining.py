"""How a store on a file system is: whether it is there and has room, and what processes left behind in its runs."""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.durable import human
from ckptkit.formats.escaped import escaped
from ckptkit.health import Finding, State
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.local import files, holds, powers, scanning, staging, trash

GRACE = 24 * 3600.0
"""Seconds after which a prune removes leftovers, unless it is told otherwise."""
_LITTLE = 1 << 30
_FEW = 1000  # files
_PURGED = "`ckptkit prune --keep-last all --apply` removes what is older than a day, and nothing else"


def examine(root: Path) -> Iterator[Finding]:
    """Yield what there is to say about the store; whatever is wrong with it is said, never raised."""
    try:
        os.scandir(root).close()
    except FileNotFoundError:
        yield from _missing(root)
        return
    except OSError as error:
        todo = "name the folder of the store with --store" if os.path.isfile(root) else "correct its permissions"
        yield Finding("store", "there", "problem", f"{root}: cannot be read ({error.strerror})", todo)
        return
    yield Finding("store", "there", "ok", f"{root} can be read", details={"path": str(root)})
    yield _space(root)
    yield from powers.examine(root)
    yield from _runs(root)


def _missing(root: Path) -> Iterator[Finding]:
    around = root
    while not around.is_dir() and around != around.parent:
        around = around.parent
    todo = "the first `ckptkit save` creates it; name another one with --store"
    yield Finding("store", "there", "warning", f"{root}: does not exist", todo, {"path": str(root)})
    yield _space(around)
    yield from powers.examine(around)


def _space(folder: Path) -> Finding:
    try:
        (total, _, free), found = shutil.disk_usage(folder), os.statvfs(folder)
    except OSError as error:
        return Finding("store", "free-space", "warning", f"cannot be told ({error.strerror})")
    if total == 0:
        return Finding("store", "free-space", "ok", "its file system does not say how much room it has")
    details = {"free_bytes": free, "total_bytes": total, "free_files": found.f_favail if found.f_files else None}
    told = f"{human(free)} of {human(total)} are free"
    todo = "`ckptkit prune` shows what could go; or name another --store"
    if found.f_files and found.f_favail < _FEW:
        few = f"only {found.f_favail} more files can be created there"
        return Finding("store", "free-space", "warning" if found.f_favail else "problem", few, todo, details)
    state: State = "problem" if free == 0 else "warning" if free < _LITTLE else "ok"
    return Finding("store", "free-space", state, told, "" if state == "ok" else todo, details)


@dataclass(slots=True)
class _Left:
    """What lies beside the checkpoints of all runs."""

    held: list[Finding] = field(default_factory=list)
    locks: int = 0
    staged: list[Path] = field(default_factory=list)
    trashed: list[trash.Trashed] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def look(self, run: str, state: Path) -> None:
        """Add what lies in a run's ``.ckptkit``."""
        self.trashed += trash.listing(state)
        self.locks += os.path.lexists(state / holds.NAME)
        if (note := holds.holder(state)) is not None:
            told = f"{escaped(run, 80)}: is being written by {holds.who(note)}"
            self.held.append(Finding("runs", "held", "ok", told, details={"run": run, **note}))
        self.staged += staging.leftovers(state, 0)


def _runs(root: Path) -> Iterator[Finding]:
    left = _Left()
    for run, folder in scanning.folders_of_runs(root):
        state = folder / STATE_FOLDER
        if state.is_symlink() or not state.is_dir():
            continue
        try:
            left.look(run, state)
        except OSError as error:
            left.unknown.append(f"{state}: {error.strerror}")
    yield from left.held or [Finding("runs", "held", "ok", _unheld(left.locks))]
    yield _staged(left.staged)
    size = sum(_size(one.entry) for one in left.trashed)
    old = [one for one in left.trashed if time.time() - one.removed_at.timestamp() > GRACE]
    told = f"{_count(len(left.trashed), 'removed checkpoint')}, {human(size)}" if left.trashed else "empty"
    details = {"checkpoints": len(left.trashed), "bytes": size, "older_than_a_day": len(old)}
    yield Finding("runs", "trash", "ok", told, _PURGED if old else "", details)
    if left.unknown:
        told = f"{len(left.unknown)} folders of runs cannot be looked into: {left.unknown[0]}"
        yield Finding("runs", "state", "warning", told, "correct their permissions")


def _unheld(count: int) -> str:
    told = "no run is being trained by a process that holds it"
    return f"{told}; what {_count(count, 'training')} left of a lock holds nothing" if count else told


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _staged(folders: list[Path]) -> Finding:
    size = sum(map(_size, folders))
    old = [path for path in folders if time.time() - _changed(path) > GRACE]
    details = {"folders": len(folders), "bytes": size, "older_than_a_day": len(old)}
    if not folders:
        return Finding("runs", "leftovers", "ok", "no save that died left anything", details=details)
    told = f"saves that died left {_count(len(folders), 'folder')}, {human(size)}, for example {folders[0]}"
    return Finding("runs", "leftovers", "warning" if old else "ok", told, _PURGED, details)


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()


def _size(folder: Path) -> int:
    total = 0
    try:
        for name in files.names(folder):
            total += (folder / name).lstat().st_size
    except OSError:  # it is being removed
        pass
    return total
