"""Names in the folders of runs, read anew only where a folder was changed: a listing of a store that nobody wrote to.

A folder's time of change moves whenever a name in it comes, goes or is replaced. What lies *in* a checkpoint does not
move it; so only those are taken for granted that stay checkpoints whatever comes into them, and whatever else lies
there is looked at each time.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import overload

from ckptkit.errors import StoreError
from ckptkit.layouts import STEP_FOLDER, Found, Layout, Listing
from ckptkit.layouts.own_names import step_of_name
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.interface import Entry, Storage
from ckptkit.storage.local import scanning, stamps
from ckptkit.storage.local.unlisted import unlisted
from ckptkit.storage.remembering import FolderMemory, FolderNames, OwnFiles
from ckptkit.storage.values import Stamp

_WORTH = 64  # names: fewer are read as fast as they are remembered


class RememberedNames:
    """See ``RememberingStorage``.

    Args:
        storage: the store.
        root: its folder.
        home: returns the folder of ckptkit's own files of an entry.
        memory: remembers the names.
    """

    def __init__(self, storage: Storage, root: Path, home: Callable[[Entry], str], memory: FolderMemory) -> None:
        self._storage, self._root, self._home, self._memory = storage, root, home, memory
        self._device = _device(root)

    def runs(self, run: str | None = None) -> Iterator[tuple[str, Sequence[Entry]]]:
        """See ``RememberingStorage.runs``."""
        self._storage.require()
        for of, found in scanning.by_run(self._root, run, self._names):
            if found:
                yield of, _Entries(of, found, self._storage)

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """See ``RememberingStorage.unlisted``."""
        return unlisted(self._root, run, self._names, self._inside)

    def own_files(self, entries: Iterable[Entry]) -> Iterator[OwnFiles]:
        """See ``RememberingStorage.own_files``."""
        now = time.time_ns() - stamps.GRANULARITY
        access, there, lstat = os.access, os.F_OK, os.lstat
        for entry in entries:
            home = self._home(entry)
            shown = access(f"{home}/{entry.shown_file}", there, follow_symlinks=False)
            signed = access(f"{home}/{entry.signatures_file}", there, follow_symlinks=False)
            try:
                found = lstat(f"{home}/{entry.manifest_file}")
            except OSError:
                yield OwnFiles(None, False, shown, signed)
                continue
            stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            plain = S_ISREG(found.st_mode) and found.st_dev == self._device  # another file system may tell no change
            yield OwnFiles(stamp if plain else None, found.st_ctime_ns < now, shown, signed)

    def is_still_one(self, entry: Entry) -> bool:
        """See ``RememberingStorage.is_still_one``."""
        if entry.layout is not STEP_FOLDER:
            return True
        around = self._home(entry).removesuffix(f"/{entry.name}")
        if any(STEP_FOLDER.find(Listing([entry.name], [], lambda path: os.path.lexists(f"{around}/{path}")))):
            return True
        self._memory.forget([entry.run])
        return False

    def _inside(self, folder: Path, run: str) -> Collection[str]:
        """Return the names in a folder; of remembered ones without plain checkpoints, for which no layout asks."""
        before = self._memory.recall(run)
        if before is None or before[0] != _stamp(str(folder)):
            return frozenset(os.listdir(folder))
        names = before[1]
        return {*names.folders, *names.files, *names.links}

    def _names(self, folder: Path, run: str) -> FolderNames:
        """Return what lies in a folder, from the memory if it was not changed since; raises StoreError."""
        try:
            return self._recalled(str(folder), run)
        except OSError as error:
            if run != "." and isinstance(error, FileNotFoundError):  # it was removed since it was named
                return FolderNames((), [], [], [])
            raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error

    def _recalled(self, around: str, run: str) -> FolderNames:
        before = self._memory.recall(run)
        taken, stamp = time.time(), _stamp(around)
        if before is not None and before[0] == stamp:
            return before[1]
        names = _read(around, frozenset(before[1].plain) if before is not None else frozenset())
        if names.plain:
            # A folder that was changed just now may change once more without another stamp.
            telling = stamps.old_enough({"": stamp}, taken) and _stamp(around) == stamp and stamp[0] == self._device
            self._memory.keep(run, stamp if telling else None, names)
        elif before is not None:
            self._memory.forget([run])
        return names


def _read(folder: str, known: frozenset[str]) -> FolderNames:
    """Read the names in a folder; what was known to be a plain checkpoint and is still there, still is one."""
    folders: list[str] = []
    files: list[str] = []
    links: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                (links if entry.is_symlink() else files).append(entry.name)
    folders = [name for name in folders if name != STATE_FOLDER]
    if len(folders) < _WORTH:
        return FolderNames((), folders, files, links)
    plain = {
        name for name in folders if name in known or STEP_FOLDER.is_plain(name, partial(_inside, f"{folder}/{name}"))
    }
    in_order = sorted(plain, key=lambda name: (step_of_name(name) or 0, name))
    return FolderNames(in_order, [name for name in folders if name not in plain], files, links)


def _inside(folder: str) -> Sequence[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def _device(root: Path) -> int | None:
    try:
        return os.stat(root).st_dev
    except OSError:  # whoever asks for runs is told
        return None


def _stamp(folder: str) -> Stamp:
    found = os.stat(folder)
    return found.st_dev, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


class _Entries(Sequence[Entry]):
    """The checkpoints of one run, each made when it is asked for."""

    def __init__(self, run: str, found: Sequence[tuple[str, Layout]], storage: Storage) -> None:
        self._run, self._found, self._storage = run, found, storage

    @overload
    def __getitem__(self, at: int) -> Entry: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...

    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(at, slice):
            return _Entries(self._run, self._found[at], self._storage)
        return Entry(self._run, *self._found[at], self._storage)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Entry]:
        for name, layout in self._found:
            yield Entry(self._run, name, layout, self._storage)
