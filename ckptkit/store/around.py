"""Where the files of a trainer lie, what shows a change of them, and where this machine can read them."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit import durable
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import NotFoundError
from ckptkit.formats.escaped import escaped
from ckptkit.manifest.models import Manifest
from ckptkit.storage import Entry, Storage
from ckptkit.storage.remote import SupportsWalk
from ckptkit.store import stranger
from ckptkit.store.stranger_item import Wrote, looked_at
from ckptkit.verification import Verifier


def is_apart(storage: Storage) -> bool:
    """Return whether what a store holds is no file of this machine: only copies of it can be read as files."""
    return isinstance(storage, SupportsWalk)


@dataclass(slots=True, eq=False)
class Around:
    """The place that the names of one adopted checkpoint count from.

    Attributes:
        at: the checkpoint.
        place: the trainer's own folder; of a service, one with checked copies, or None: there is none yet.
    """

    at: Entry
    place: Path | None

    @property
    def folder(self) -> Path:
        """Where the files can be read."""
        assert self.place is not None  # known, or brought
        return self.place

    @property
    def where(self) -> str:
        """The place, for people."""
        return self.at.storage.where(self.at) if is_apart(self.at.storage) else str(self.place)

    def looked_at(self, items: Mapping[str, Wrote]) -> Mapping[str, stranger.Look]:
        """Return the files of each item as they are now; raises as ``stranger.look``."""
        if not is_apart(self.at.storage):
            return looked_at(self.folder, items)
        return {name: self._listed(wrote.files or (wrote.path,)) for name, wrote in items.items()}

    def _listed(self, names: Iterable[str]) -> stranger.Look:
        storage, at = self.at.storage, self.at
        named = list(names)
        files = [file for name in named for file in (list(storage.names(at, name)) or [name])]
        found = storage.stamps(at, files) or {}
        if gone := [file for file in files if file not in found]:
            raise NotFoundError(f"{escaped(gone[0])}: is not there")
        return {file: found[file] for file in sorted(files)}

    def has(self, main: str, files: Sequence[str]) -> bool:
        """Return whether there is a file or a folder of this name; ``files`` are those that were looked at."""
        if is_apart(self.at.storage):
            return any(path == main or path.startswith(f"{main}/") for path in files)
        return os.path.lexists(self.folder / main)

    def bring(self, seen: Mapping[str, stranger.Look], held: contextlib.ExitStack) -> None:
        """Make the files readable on this machine until the stack ends; nothing to do where they are.

        Raises:
            DiskFullError: there is no room for copies.
        """
        if self.place is None:
            paths = [path for files in seen.values() for path in files]
            self.place = held.enter_context(self.at.storage.fetch(self.at, paths))

    def make_last(self, seen: Mapping[str, stranger.Look]) -> None:
        """Make the trainer's files outlast a power cut, as their manifest will; on a service they do."""
        if not is_apart(self.at.storage):
            stranger.make_last(self.folder, (path for files in seen.values() for path in files))

    def make_names_last(self, seen: Mapping[str, stranger.Look], *, first: bool) -> None:
        """Make their names outlast it, and at the first adoption the run; see ``stranger.make_names_last``."""
        if not is_apart(self.at.storage):
            paths = (path for files in seen.values() for path in files)
            stranger.make_names_last(self.folder, paths, first=first)
            if first:
                durable.fsync_way(Path(self.at.storage.where_state(self.at.run, "")))

    def unchanged(self, manifest: Manifest, seen: Mapping[str, stranger.Look], ledger: Ledger | None) -> bool:
        """Return whether what was adopted is as it was; its files are read only where nothing else tells."""
        at = self.at
        now = {path: stamp for files in seen.values() for path, stamp in files.items()}
        listed = {file.path: file.size for item in manifest.items.values() for file in item.files}
        if listed != {path: stamp[0] for path, stamp in now.items()} or manifest.items.keys() != seen.keys():
            return False
        known = None if ledger is None else ledger.one(at.run, at.name)
        if known is not None and Verifier("presence", ledger=ledger).trusts(at, known):
            return True
        if self._all_older(now.values()):
            return True
        return Verifier("digest", ledger=ledger).verify(at).good

    def _all_older(self, stamps: Iterable[tuple[int, int, int, int]]) -> bool:
        """Return whether the manifest is later than all files, by one clock."""
        written = self.at.storage.stat(self.at, self.at.manifest_file).stamp[1]
        if is_apart(self.at.storage):  # in whole seconds
            return all(stamp[1] < written for stamp in stamps)
        here = self.at.storage.folder(self.at) == self.at.storage.run_folder(self.at.run)  # else two clocks
        return here and all(max(stamp[1], stamp[2]) <= written for stamp in stamps)
