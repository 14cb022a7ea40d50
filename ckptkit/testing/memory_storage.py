"""A store in the memory of this process: the whole contract in little, to test with and to begin another store from.

It has what an object store has: keys and no folders, no links, no path on this machine, and files that are read as a
whole. What an object store lacks, and its author must add, is said where it is used: a step in which many keys change
at once (here a lock) and a lock that dies with its process (here there is one process).
"""

import io
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import ConflictError, DamagedError, DiskFullError, RefusedError, StoreError
from ckptkit.layouts import ADOPTED, STEP_FOLDER, Found, adopted, checkpoints, other_folders
from ckptkit.layouts.adopted import main_of, parted
from ckptkit.manifest.names import MANIFEST_NAME, MAX_RUN_PARTS, STATE_FOLDER, check_run
from ckptkit.storage.interface import Entry, FileStat, Leftover, Lock, Removed, Stamp
from ckptkit.storage.run_locks import RunLocks
from ckptkit.testing.memory_objects import Object, Objects
from ckptkit.testing.memory_staging import MemoryStaging
from ckptkit.testing.memory_trash import Trash


class MemoryStorage:
    """A ``Storage`` that is gone with its process. Threads may share it.

    Args:
        url: what it is called; a name of its own when left out.
        capacity: bytes that it holds at most; the memory of the machine when left out.

    Attributes:
        objects: the bytes of all files, by key: what "others" in a test change without asking the store.
    """

    outlives = False

    def __init__(self, url: str | None = None, *, capacity: int | None = None) -> None:
        self._id = uuid.uuid4().hex
        self.url = url or f"memory://{self._id}"
        self.objects = Objects()
        self._capacity = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if capacity is None else capacity
        self._locks: dict[str, RunLocks] = {}

    @property
    def same_store(self) -> str:
        """See ``Storage.same_store``: no two stores share an id, and none outlives its process."""
        return f"memory:{self._id}"

    @property
    def user(self) -> int:
        """Whoever runs this process: nobody else can write here."""
        return os.geteuid()

    # --- keys ---

    @staticmethod
    def prefix(run: str) -> str:
        """Return what the keys of a run begin with."""
        return "" if run == "." else f"{run}/"

    def key(self, entry: Entry, path: str = "") -> str:
        """Return the key of a file of an entry, or what its keys begin with."""
        return self.prefix(entry.run) + ("" if entry.layout.shared else f"{entry.name}/") + path

    def _state(self, run: str, name: str) -> str:
        return f"{self.prefix(run)}{STATE_FOLDER}/{name}"

    def _trash(self, run: str) -> Trash:
        return Trash(self.objects, run, self.prefix(run), f"{self.url}/{self.prefix(run)}")

    # --- what is there ---

    def require(self) -> None:
        """See ``Storage.require``: it is there as long as this object is."""

    def require_reachable(self, run: str) -> None:
        """See ``Storage.require_reachable``."""
        parts = [] if check_run(run) == "." else run.split("/")
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            if self.objects.get(f"{place}/{MANIFEST_NAME}") is not None:
                raise RefusedError(
                    f"{self.url}/{place}: is a checkpoint, no run can be inside it",
                    hint="choose another run name; nothing was changed",
                )

    def has_run(self, run: str) -> bool:
        """See ``Storage.has_run``."""
        return bool(self.objects.below(self.prefix(check_run(run))))

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        """See ``Storage.scan``; no run of this store is unreadable."""
        if run is not None:
            yield from self._right_in(check_run(run))
        else:
            yield from self._walk(below, 0 if below == "." else len(check_run(below).split("/")))

    def _walk(self, run: str, depth: int) -> Iterator[Entry]:
        listing = self.objects.listing(self.prefix(run))
        found = checkpoints(listing)
        yield from (Entry(run, name, layout, self) for name, layout in found)
        for name in other_folders(listing, found) if depth < MAX_RUN_PARTS else ():
            yield from self._walk(self.prefix(run) + name, depth + 1)

    def _right_in(self, run: str) -> Iterator[Entry]:
        for name, layout in checkpoints(self.objects.listing(self.prefix(run))):
            yield Entry(run, name, layout, self)

    def at_step(self, run: str, step: int) -> list[Entry]:
        """See ``Storage.at_step``."""
        return [entry for entry in self._right_in(check_run(run)) if entry.step == step]

    def run_stamp(self, run: str) -> str:
        """See ``Storage.run_stamp``: nothing is cheaper here than to look."""
        return ""

    def identity(self, entry: Entry) -> tuple[str, int] | None:
        """See ``Storage.identity``: the generation of its manifest, or of its oldest file where it has none."""
        with self.objects.lock:
            if entry.layout is ADOPTED and not self.objects.has(self.prefix(entry.run) + (main_of(entry.name) or "")):
                return None
            if (manifest := self.objects.get(self.key(entry, entry.manifest_file))) is not None:
                return "manifest", manifest.generation
            found = [] if entry.layout.shared else map(self.objects.get, self.objects.below(self.key(entry)))
            oldest = min((one.generation for one in found if one is not None), default=None)
            return None if oldest is None else ("files", oldest)

    def owner(self, entry: Entry) -> int | None:
        """See ``Storage.owner``."""
        return self.user if self.objects.get(self.key(entry, entry.manifest_file)) is not None else None

    # --- reading ---

    def _object(self, entry: Entry, path: str) -> Object:
        key = self.key(entry, path)
        if (found := self.objects.get(key)) is not None:
            return found
        if self.objects.has(key) or self.objects.behind_object(key):
            raise DamagedError(f"{self.where(entry, path)}: is not a regular file")
        raise FileNotFoundError(self.where(entry, path))

    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        """See ``Storage.read``."""
        return self._object(entry, path).data[: limit + 1]

    def open(self, entry: Entry, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        return io.BytesIO(self._object(entry, path).data)

    def stat(self, entry: Entry, path: str) -> FileStat:
        """See ``Storage.stat``."""
        key = self.key(entry, path)
        if self.objects.is_folder(key):
            return FileStat(path, 0, False, (0, 0, 0, 0))
        found = self._object(entry, path)
        return FileStat(path, len(found.data), True, _stamp(found))

    def names(self, entry: Entry, within: str = "") -> Iterator[str]:
        """See ``Storage.names``."""
        below = self.key(entry, f"{within}/" if within else "")
        return (key.removeprefix(self.key(entry)) for key in self.objects.below(below))

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        """See ``Storage.stamps``."""
        listed = list(listed)
        shared = entry.layout.shared
        paths = [entry.manifest_file, entry.observed_file, *listed] if shared else list(self.names(entry))
        paths += [path for folder in parted(listed)[1] for path in self.names(entry, folder)] if shared else []
        if not paths:
            return None
        later = (entry.shown_file, entry.signatures_file)
        found = {path: self.objects.get(self.key(entry, path)) for path in paths if path not in later}
        return {path: _stamp(one) for path, one in found.items() if one is not None}

    def telling(self, entry: Entry, stamped: Mapping[str, Stamp], taken: float) -> bool:
        """See ``Storage.telling``: each write has a generation of its own."""
        return True

    def settled(self, entry: Entry, stamped: Mapping[str, Stamp]) -> bool:
        """See ``Storage.settled``."""
        return True

    @contextmanager
    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> Iterator[Path]:
        """See ``Storage.fetch``; the copies are kept as long as this object: a restored item may be such a folder."""
        folder = Path(tempfile.mkdtemp(dir=self._copies))
        for path in paths:
            if (found := self.objects.get(self.key(entry, path))) is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(found.data)
        yield folder

    @cached_property
    def _copies(self) -> str:
        folder = tempfile.mkdtemp(prefix="ckptkit-memory-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def where(self, entry: Entry, path: str | None = None) -> str:
        """See ``Storage.where``."""
        return f"{self.url}/{self.key(entry, path or '')}".rstrip("/")

    def folder(self, entry: Entry) -> Path:
        """See ``Storage.folder``: there is none."""
        raise self._no_folder()

    def run_folder(self, run: str) -> Path:
        """See ``Storage.run_folder``: there is none."""
        check_run(run)
        raise self._no_folder()

    def _no_folder(self) -> StoreError:
        return StoreError(f"store {self.url}: has no folder on this machine", hint="`ckptkit restore` copies files out")

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """See ``Storage.unlisted``: no trainer writes here."""
        return iter(())

    # --- writing ---

    def prepare(self, run: str, *, needed: int) -> None:
        """See ``Storage.prepare``."""
        self.require_space(check_run(run), needed)

    def require_space(self, run: str, needed: int) -> None:
        """See ``Storage.require_space``."""
        if (missing := self.objects.size + needed - self._capacity) > 0:
            raise DiskFullError(f"store {self.url}: {needed} bytes are needed, {missing} are missing")

    @contextmanager
    def stage(self, run: str) -> Iterator[MemoryStaging]:
        """See ``Storage.stage``."""
        check_run(run)
        with tempfile.TemporaryDirectory(prefix="ckptkit-staging-", ignore_cleanup_errors=True) as folder:
            yield MemoryStaging(Path(folder), lambda files, name, replaces: self._commit(run, name, files, replaces))

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        entry = Entry(run, name, STEP_FOLDER, self)
        self.require_space(run, sum(map(len, files.values())))
        # One step, for all who look: an object store has none for many keys, and puts the manifest last, create-only.
        with self.objects.lock:
            if replaces is not None:
                self._trash(run).remove(Entry(run, name, STEP_FOLDER, self))
            elif self.objects.has(self.key(entry).rstrip("/")):
                raise ConflictError(f"{self.where(entry)}: exists already")
            self.objects.put({self.key(entry, path): data for path, data in files.items()})
        return entry

    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        """See ``Storage.put``."""
        key = self.key(entry, path)
        with self.objects.lock:
            if not replace and self.objects.has(key):
                raise ConflictError(f"{self.where(entry, path)}: exists already")
            self.objects.put({key: data})

    # --- removing ---

    def remove(self, entry: Entry, files: Sequence[str] = (), *, lasting: bool = True) -> Removed:
        """See ``Storage.remove``."""
        return self._trash(entry.run).remove(entry, files)

    def make_last(self, removed: Sequence[Removed | Leftover]) -> None:
        """See ``Storage.make_last``: nothing here outlasts its process."""

    def removed(self, run: str | None = None) -> list[Removed]:
        """See ``Storage.removed``."""
        state = f"{STATE_FOLDER}/trash/"
        keys = [f"/{key}" for key in self.objects.below("")]
        names = {key.partition(f"/{state}")[0][1:] or "." for key in keys if f"/{state}" in key}
        found = [one for name in (names if run is None else [run]) for one in self._trash(name).listing()]
        return sorted(found, key=lambda one: one.key, reverse=True)  # it begins with the moment

    def bring_back(self, removed: Removed) -> None:
        """See ``Storage.bring_back``."""
        self._trash(removed.run).bring_back(removed.key)

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        """See ``Storage.finish_removals``: all of a removal happens in one step here."""

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """See ``Storage.leftovers``: a save that dies takes its store with it, so there is only trash."""
        return self._trash(run).leftovers(grace)

    def set_aside(self, leftover: Leftover) -> Leftover:
        """See ``Storage.set_aside``."""
        self._trash(leftover.run).set_aside(leftover.key)
        return leftover

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """See ``Storage.purge``."""
        self._trash(leftover.run).purge(leftover.key, on_bytes)

    # --- what trainers wrote ---

    def orphans(self, run: str) -> list[Entry]:
        """See ``Storage.orphans``."""
        names = adopted.orphans(self.objects.listing(self.prefix(check_run(run))))
        return [Entry(run, name, ADOPTED, self) for name in sorted(names)]

    def forget(self, entry: Entry) -> None:
        """See ``Storage.forget``."""
        with self.objects.lock:
            for path in (*entry.notes, entry.manifest_file):
                self.objects.drop(self.key(entry, path))

    def adopt_from(self, run: str, folder: Path) -> None:
        """See ``Storage.adopt_from``: there is none."""
        raise self._no_folder()

    def adopted_from(self, run: str) -> Path:
        """See ``Storage.adopted_from``: there is none."""
        raise self._no_folder()

    # --- what belongs to a run and to no checkpoint ---

    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        """See ``Storage.read_state``."""
        found = self.objects.get(self._state(run, name))
        return None if found is None else found.data[: limit + 1]

    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        """See ``Storage.replace_state``."""
        self.objects.put({self._state(run, name): data})

    def where_state(self, run: str, name: str) -> str:
        """See ``Storage.where_state``."""
        return f"{self.url}/{self._state(run, name)}"

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        """See ``Storage.locked``: a lock of this process dies with it."""
        with self.objects.lock:
            locks = self._locks.setdefault(run, RunLocks(run))
        return {"save": locks.save, "change": locks.change, "refs": locks.refs}[lock]()

    def hold(self, run: str) -> None:
        """See ``Storage.hold``: no other process can hold a run here."""
        check_run(run)

    def release(self, run: str) -> None:
        """See ``Storage.release``."""

    def require_outside(self, path: Path) -> None:
        """See ``Storage.require_outside``: no file of this machine lies in this store."""

    def require_source(self, path: Path) -> None:
        """See ``Storage.require_source``."""


def _stamp(one: Object) -> Stamp:
    return len(one.data), one.generation, one.generation, 0
