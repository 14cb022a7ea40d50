"""The contract of a store, kept by a folder of a file system."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ckptkit import durable
from ckptkit.durable import storage_errors
from ckptkit.errors import CkptkitError, RefusedError
from ckptkit.health import Finding
from ckptkit.layouts import ADOPTED, Checkpoint, Found
from ckptkit.layouts.adopted import main_of
from ckptkit.manifest.names import STATE_FOLDER, check_run
from ckptkit.storage.interface import Entry, FileStat, Leftover, Lock, Removed, Stamp
from ckptkit.storage.local import (
    assembling,
    elsewhere,
    fetching,
    files,
    holds,
    locks,
    outside,
    preflight,
    recipe,
    scanning,
    sharing,
    staging,
    stamps,
    trash,
    trash_listing,
)
from ckptkit.storage.local.committing import LocalStaging
from ckptkit.storage.local.place import Place, identity_of
from ckptkit.storage.local.remembered import RememberedNames
from ckptkit.storage.local.unlisted import unlisted
from ckptkit.storage.remembering import FolderMemory


@dataclass(frozen=True)
class LocalStorage:
    """A folder that holds runs, which hold checkpoints. Symbolic links below it are never followed.

    Attributes:
        root: the folder; created by the first save.
    """

    root: Path
    _folders: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    outlives = True

    @property
    def url(self) -> str:
        """The folder's absolute path, links looked through."""
        return str(self.root.resolve())

    @property
    def same_store(self) -> str:
        """Where it is, and which folder that is."""
        return stamps.identity(self.root)

    @property
    def user(self) -> int:
        """The user whom files of this process belong to."""
        return os.geteuid()

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run; raises RunNameError for an unsafe name."""
        return self._of(check_run(run))

    def _of(self, run: str) -> Path:
        folder = self._folders.get(run)  # once for each checkpoint: a path takes longer to join than to look up
        if folder is None:  # a stranger's folder may have a name that no run can have
            folder = self._folders[run] = self.root if run == "." else self.root / run
        return folder

    def state_folder(self, run: str) -> Path:
        """Return the folder of everything in a run that is not a checkpoint."""
        return self._of(run) / STATE_FOLDER

    def _place(self, entry: Entry) -> Place:
        away = self._elsewhere(entry.run) if entry.layout is ADOPTED else None
        if away is not None:
            elsewhere.require_there(away)
        return Place.within(self._of(entry.run), entry.name, entry.layout, away)

    def _elsewhere(self, run: str) -> Path | None:
        return elsewhere.folder_of(self.root, str(self._of(run)))

    def _home(self, entry: Entry) -> Place:
        """Return the place of ckptkit's own files, also where those of the trainer must not be looked for."""
        return Place.within(self._of(entry.run), entry.name, entry.layout)

    def _home_folder(self, entry: Entry) -> str:
        """Return the folder of ckptkit's own files; as text, as it is asked for once or more for each file."""
        home = self._of(entry.run)
        return str(home) if entry.layout.shared else f"{home}/{entry.name}"

    def _around(self, entry: Entry, path: str) -> str:
        """Return the folder that a path is counted from."""
        if entry.layout is ADOPTED and path != entry.manifest_file and path not in entry.notes:
            return str(self._place(entry).folder)
        return self._home_folder(entry)

    # --- what is there ---

    def require(self) -> None:
        """See ``Storage.require``."""
        scanning.require(self.root)

    def require_reachable(self, run: str) -> None:
        """See ``Storage.require_reachable``."""
        scanning.require_reachable(self.root, run)

    def has_run(self, run: str) -> bool:
        """See ``Storage.has_run``."""
        with storage_errors(str(self.root)):
            return self.run_folder(run).is_dir()

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        """See ``Storage.scan``."""
        self.require()
        if run is not None:
            check_run(run)
        found = (
            scanning.everywhere(self.root, below, skip_unreadable=skip_unreadable)
            if run is None
            else scanning.in_run(self.root, run)
        )
        for of, name, layout in found:
            yield Entry(of, name, layout, self)

    def newest_first(self, run: str | None = None) -> Iterator[tuple[str, Iterator[Entry]]]:
        """See ``SupportsNewestFirst.newest_first``."""
        self.require()
        for of, found in scanning.newest_first(self.root, run):
            yield of, map(partial(self._entry, of), found)

    def _entry(self, run: str, found: Checkpoint) -> Entry:
        return Entry(run, *found, self)

    def at_step(self, run: str, step: int) -> list[Entry]:
        """See ``Storage.at_step``."""
        found = scanning.at_step(self.root, check_run(run), step)
        return [Entry(of, name, layout, self) for of, name, layout in found]

    def run_stamp(self, run: str) -> str:
        """See ``Storage.run_stamp``."""
        return stamps.of_folder(self.run_folder(run))

    def identity(self, entry: Entry) -> tuple[int, int, int] | None:
        """See ``Storage.identity``."""
        if entry.layout is ADOPTED:
            folder, main = self._of(entry.run), main_of(entry.name) or ""
            if not os.path.lexists(folder / main) and not elsewhere.has(self.root, str(folder), main):
                return None
        return identity_of(self._home_folder(entry), entry.manifest_file, shared=entry.layout.shared)

    def owner(self, entry: Entry) -> int | None:
        """See ``Storage.owner``."""
        try:
            return self._home(entry).manifest.lstat().st_uid
        except OSError:
            return None

    # --- reading ---

    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        """See ``Storage.read``."""
        return files.read(f"{self._around(entry, path)}/{path}", limit)

    def open(self, entry: Entry, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        try:
            return files.opened(f"{self._around(entry, path)}/{path}")
        except FileNotFoundError:
            return assembling.opened(self.folder(entry), path)

    def stat(self, entry: Entry, path: str) -> FileStat:
        """See ``Storage.stat``."""
        try:
            return files.examined(self._around(entry, path), path)
        except FileNotFoundError:
            return assembling.examined(self.folder(entry), path)

    def names(self, entry: Entry, within: str = "") -> Iterator[str]:
        """See ``Storage.names``."""
        folder = self.folder(entry)
        return files.names(folder, within) if within else assembling.listed(folder, files.names(folder))

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        """See ``Storage.stamps``."""
        if not entry.layout.shared:
            return stamps.of_own(self._home_folder(entry))
        try:
            return stamps.of_shared(self._place(entry), listed)
        except CkptkitError:
            return None

    def telling(self, entry: Entry, stamped: Mapping[str, Stamp], taken: float) -> bool:
        """See ``Storage.telling``."""
        return stamps.old_enough(stamped, taken) and stamps.keeps_time_of_change(self.folder(entry))

    def settled(self, entry: Entry, stamped: Mapping[str, Stamp]) -> bool:
        """See ``Storage.settled``."""
        at = self._place(entry)
        return at.elsewhere is None and stamps.settled(stamped, self.state_folder(entry.run))

    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> AbstractContextManager[Path]:
        """Return the folder itself, or one in which what is stored in parts is put together; see ``Storage.fetch``."""
        folder = self.folder(entry)
        if entry.layout.shared or not (folder / recipe.FOLDER).is_dir():
            return nullcontext(folder)
        return fetching.fetched(self, folder, paths, self.state_folder(entry.run), keep=keep)

    def frees(self, entries: Iterable[Entry]) -> int:
        """See ``SupportsLinks.frees``."""
        return sharing.frees(self.folder(entry) for entry in entries if not entry.layout.shared)

    def link_out(self, entry: Entry, path: str, target: Path) -> bool:
        """See ``SupportsLinks.link_out``."""
        return sharing.link(Path(self._around(entry, path), path), target)

    def where(self, entry: Entry, path: str | None = None) -> str:
        """See ``Storage.where``."""
        try:
            return str(self.folder(entry) if path is None else Path(self._around(entry, path), path))
        except RefusedError:  # its files are not there, or not to be looked for: its manifest is
            return str(self._home(entry).folder if path is None else self._home(entry).folder / path)

    def folder(self, entry: Entry) -> Path:
        """See ``Storage.folder``."""
        return self._place(entry).folder

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """See ``Storage.unlisted``."""
        return unlisted(self.root, run)

    def remembering(self, memory: FolderMemory) -> RememberedNames | None:
        """See ``SupportsRemembering.remembering``."""
        tells = stamps.keeps_time_of_change(self.root)
        return RememberedNames(self, self.root, self._home_folder, memory) if tells else None

    # --- writing ---

    def prepare(self, run: str, *, needed: int) -> None:
        """See ``Storage.prepare``."""
        preflight.probe(self.run_folder(run), self.state_folder(run), needed=needed)

    def require_space(self, run: str, needed: int) -> None:
        """See ``Storage.require_space``."""
        durable.require_space(self.run_folder(run), needed)

    @contextmanager
    def stage(self, run: str) -> Iterator[LocalStaging]:
        """See ``Storage.stage``."""
        check_run(run)
        with staging.staged(self.state_folder(run)) as folder:
            yield LocalStaging(self, run, folder)

    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        """See ``Storage.put``."""
        files.put(Path(self._around(entry, path), path), data, self.state_folder(entry.run), replace=replace)

    # --- removing ---

    def remove(self, entry: Entry, files: Sequence[str] = (), *, lasting: bool = True) -> Removed:
        """See ``Storage.remove``."""
        at, state = self._place(entry), self.state_folder(entry.run)
        trashed = trash.remove(at, state, entry.ref, files, lasting=lasting)
        return trash_listing.removed(entry.run, trashed)

    def make_last(self, removed: Sequence[Removed | Leftover]) -> None:
        """See ``Storage.make_last``."""
        for run in sorted({one.run for one in removed}):
            trash.make_last(self.state_folder(run))

    def removed(self, run: str | None = None) -> list[Removed]:
        """See ``Storage.removed``."""
        if run is None:
            return trash_listing.of_store(self.root, self.removed)
        return trash_listing.of_run(run, self.state_folder(run), lambda: self._elsewhere(run))

    def bring_back(self, removed: Removed) -> None:
        """See ``Storage.bring_back``."""
        entry = trash.entry_named(self.state_folder(removed.run), removed.key)
        trashed = trash.Trashed(entry, removed.removed_at, removed.step)
        trash.restore(trashed, self._of(removed.run), lambda: self._elsewhere(removed.run))

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        """See ``Storage.finish_removals``."""
        trash.finish(self.state_folder(run), claimed, lambda: self._elsewhere(run))

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """See ``Storage.leftovers``."""
        state = self.state_folder(run)
        found = [*staging.leftovers(state, grace), *trash.older(state, grace)]
        return [Leftover(run, path.relative_to(state).as_posix(), str(path)) for path in found]

    def set_aside(self, leftover: Leftover) -> Leftover:
        """See ``Storage.set_aside``."""
        aside = staging.aside(leftover.key)
        for place in self._parts(leftover):
            trash.set_aside(place, place.parents[1] / aside)
        return replace(leftover, key=aside)

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """See ``Storage.purge``."""
        for place in self._parts(leftover):
            trash.purge(place, on_bytes)

    def _parts(self, leftover: Leftover) -> Iterator[Path]:
        """Yield where a leftover lies: what came from elsewhere, if it was adopted, then all else."""
        with contextlib.suppress(RefusedError):  # in a copy of a store only what was copied is purged
            if (away := self._elsewhere(leftover.run)) is not None and (away / STATE_FOLDER / leftover.key).is_dir():
                yield away / STATE_FOLDER / leftover.key
        yield self.state_folder(leftover.run) / leftover.key

    def orphans(self, run: str) -> list[Entry]:
        """See ``Storage.orphans``."""
        return [Entry(run, name, ADOPTED, self) for name in scanning.orphans(self.root, run)]

    def forget(self, entry: Entry) -> None:
        """See ``Storage.forget``."""
        with storage_errors(entry.ref):
            files.forget(self._home(entry))

    def adopt_from(self, run: str, folder: Path) -> None:
        """See ``Storage.adopt_from``."""
        elsewhere.note(self.root, self.run_folder(run), folder)

    def adopted_from(self, run: str) -> Path:
        """See ``Storage.adopted_from``."""
        return self._elsewhere(run) or self.run_folder(run)

    # --- what belongs to a run and to no checkpoint ---

    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        """See ``Storage.read_state``."""
        try:
            return files.read(self.state_folder(run) / name, limit)
        except FileNotFoundError:
            return None

    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        """See ``Storage.replace_state``."""
        with storage_errors(name):
            durable.make_folders(self.state_folder(run))
            durable.replace_file(self.state_folder(run) / name, data, lasting=lasting)

    def where_state(self, run: str, name: str) -> str:
        """See ``Storage.where_state``."""
        return str(self.state_folder(run) / name)

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        """See ``Storage.locked``."""
        return {"save": locks.saving, "change": locks.alone, "refs": locks.marking}[lock](self.state_folder(run))

    def hold(self, run: str) -> None:
        """See ``Storage.hold``."""
        holds.hold(self.state_folder(run), run)

    def release(self, run: str) -> None:
        """See ``Storage.release``."""
        holds.release(self.state_folder(run))

    def require_outside(self, path: Path) -> None:
        """See ``Storage.require_outside``."""
        outside.require_destination(self.root, path)

    def require_source(self, path: Path) -> None:
        """See ``Storage.require_source``."""
        outside.require_source(self.root, path)

    def examine(self) -> Iterator[Finding]:
        """See ``SupportsExamine.examine``."""
        from ckptkit.storage.local import examining  # nothing else needs it

        return examining.examine(self.root)
