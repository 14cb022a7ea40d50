"""The contract of a store: what every other room may ask of it, wherever it keeps its checkpoints.

Paths are relative, with ``/`` between their parts, and counted as an entry's manifest counts them. A ``Path`` is
handed out at three doors only: ``fetch`` (what a backend reads), ``Staging.folder`` (what a backend writes), and the
folders that trainers themselves write into (``folder``, ``run_folder``), which only a store on a file system has.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

from ckptkit.layouts import Found, Layout
from ckptkit.manifest.names import MANIFEST_NAME, NOTES, OBSERVED_NAME, SHOWN_NAME, SIGNATURES_NAME, step_of_name
from ckptkit.storage.run_state import RunState
from ckptkit.storage.trash import Trash
from ckptkit.storage.values import FileStat as FileStat
from ckptkit.storage.values import Leftover as Leftover
from ckptkit.storage.values import Lock as Lock
from ckptkit.storage.values import Removed as Removed
from ckptkit.storage.values import Stamp as Stamp


@dataclass(frozen=True)
class Entry:
    """A place in a store that claims to be a checkpoint, read or not.

    Attributes:
        run: run name, by place: a checkpoint copied into another run's folder belongs to that run there.
        name: name of its folder, or what the names of its files begin with.
        layout: how its files lie.
        storage: the store it is in.
    """

    run: str
    name: str
    layout: Layout
    storage: "Storage" = field(repr=False)

    def __hash__(self) -> int:
        """Return the same for equal ones; the storage, which takes the longest, is that of nearly all of them."""
        return hash((self.run, self.name))

    @property
    def sidecar(self) -> bool:
        """Whether the manifest lies beside flat files (``ep000050.manifest.json``), in a folder shared with others."""
        return self.layout.shared

    @cached_property
    def step(self) -> int | None:
        """The step number that the name ends in; the manifest must agree with it."""
        return step_of_name(self.name)

    @property
    def ref(self) -> str:
        """``RUN@STEP``."""
        return f"{self.run}@{self.step}"

    @property
    def manifest_file(self) -> str:
        """Path of the manifest; it may be missing (an incomplete checkpoint)."""
        return self.layout.own(self.name, MANIFEST_NAME)

    @property
    def observed_file(self) -> str:
        """Path of the sealed file of what the live run did next; it may be missing."""
        return self.layout.own(self.name, OBSERVED_NAME)

    @property
    def shown_file(self) -> str:
        """Path of the file of what was shown of it since it was saved; it may be missing."""
        return self.layout.own(self.name, SHOWN_NAME)

    @property
    def signatures_file(self) -> str:
        """Path of the file with signatures over its manifest; it may be missing."""
        return self.layout.own(self.name, SIGNATURES_NAME)

    @property
    def notes(self) -> Sequence[str]:
        """Paths of all that may be noted of it beside its manifest."""
        return [self.layout.own(self.name, name) for name in NOTES]

    @property
    def identity(self) -> Hashable | None:
        """What tells it from another one that was put in its place; None once it is gone."""
        return self.storage.identity(self)

    @property
    def where(self) -> str:
        """Where it is, for a person: its folder, or the manifest beside its files."""
        return self.storage.where(self, self.manifest_file if self.layout.shared else None)

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to; raises StoreError where the store is not on a file system."""
        return self.storage.folder(self)

    @property
    def manifest(self) -> Path:
        """The manifest file; raises StoreError as ``folder`` does."""
        return self._own / self.manifest_file

    @property
    def observed(self) -> Path:
        """The sealed file of what the live run did next; raises StoreError as ``folder`` does."""
        return self._own / self.observed_file

    @property
    def shown(self) -> Path:
        """The file of what was shown of it; raises StoreError as ``folder`` does."""
        return self._own / self.shown_file

    @property
    def _own(self) -> Path:
        """The folder of ckptkit's own files: what was adopted may lie in another one."""
        return self.storage.run_folder(self.run) if self.layout.shared else self.folder


class Staging(Protocol):
    """A checkpoint that is being built; what is not committed is gone when it ends."""

    @property
    def folder(self) -> Path:
        """An empty folder of this machine: backends write here."""

    def seal(self, manifest: bytes) -> None:
        """Add the manifest, last of all files, and make all of it last; raises StoreError."""

    def commit(self, name: str, *, replaces: Entry | None = None) -> Entry:
        """Make it a checkpoint in one step: all of it is there afterwards, or nothing. The only commit there is.

        Args:
            name: of the checkpoint's folder.
            replaces: what is there, and goes to the trash; at every moment one of the two is there.

        Raises:
            ConflictError: something else is there.
            StoreError: it could not be done; what was there still is.
        """


class Storage(Trash, RunState, Protocol):
    """A store. Everything may raise StoreError; LockedError and DiskFullError where said."""

    @property
    def url(self) -> str:
        """What opens this store again, here or in another process: an absolute path, or a URL."""

    @property
    def same_store(self) -> str:
        """What tells this store from any other, at any time: a copy of it is another store."""

    @property
    def outlives(self) -> bool:
        """Whether other processes can open it."""

    @property
    def user(self) -> Hashable:
        """Who asks, as ``owner`` names people."""

    # --- what is there ---

    def require(self) -> None:
        """Raise StoreError unless the store exists and can be read."""

    def require_reachable(self, run: str) -> None:
        """Raise RefusedError if what is saved in the run would never be listed: behind a link, or in a checkpoint."""

    def has_run(self, run: str) -> bool:
        """Return whether there is anything of the run; raises RunNameError for an unsafe name."""

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        """Yield all checkpoints of a run, or of the whole store, ordered by run and step; nothing is read.

        Args:
            run: only this one.
            below: of the whole store, only the run of this name, and those whose names go on after it with a ``/``.
            skip_unreadable: of the whole store, leave out runs that may not be read instead of raising StoreError.
        """

    def at_step(self, run: str, step: int) -> list[Entry]:
        """Return what claims to be this step of the run, complete or not."""

    def run_stamp(self, run: str) -> str:
        """Return what changes whenever a checkpoint came to a run or went; empty where that cannot be told cheaply.

        Two changes within one tick of the store's clock may look like one.
        """

    def identity(self, entry: Entry) -> Hashable | None:
        """Return what tells an entry from another one put in its place; None once it is gone."""

    def owner(self, entry: Entry) -> Hashable | None:
        """Return whose the entry is, or None: nobody can tell."""

    # --- reading ---

    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        """Return the bytes of a small file, at most ``limit`` and one more.

        Raises:
            FileNotFoundError: it is not there.
            DamagedError: it is not a regular file.
            StoreError: it cannot be read.
        """

    def open(self, entry: Entry, path: str) -> BinaryIO:
        """Open a regular file for reading from its start; raises as ``read``."""

    def stat(self, entry: Entry, path: str) -> FileStat:
        """Return what is known of a file without reading it.

        Raises:
            FileNotFoundError: it is not there.
            DamagedError: it lies behind a link or a file, not in a folder.
            OSError: it cannot be examined.
        """

    def names(self, entry: Entry, within: str = "") -> Iterator[str]:
        """Yield the paths of all files in an entry's folder, also of those that are no files.

        Args:
            entry: the checkpoint.
            within: only below this folder, where the entry shares its own; nothing where it is none.
        """

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> Mapping[str, Stamp] | None:
        """Return the stamps of all files of an entry by path; None where they cannot be had.

        ``shown.json`` and ``signatures.json`` are no files of it: they come later, and say nothing of its content.

        Args:
            entry: the checkpoint.
            listed: where it shares its folder: the files that its manifest lists; whatever else lies in their folders
                counts too.
        """

    def telling(self, entry: Entry, stamped: Mapping[str, Stamp], taken: float) -> bool:
        """Return whether any change since the stamps were taken (seconds since 1970) must show in new ones."""

    def settled(self, entry: Entry, stamped: Mapping[str, Stamp]) -> bool:
        """Return the same for any change from now on, of files that were just written; may wait a moment."""

    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> AbstractContextManager[Path]:
        """Return a context with a folder of this machine in which the files lie at their paths: what backends read.

        What is missing is left out.

        Args:
            entry: the checkpoint.
            paths: of the files.
            keep: what a backend returns may be the folder, or read from it later: where it is a copy, it stays as long
                as this object.
        """

    def where(self, entry: Entry, path: str | None = None) -> str:
        """Return where an entry, or a file of it, is, for a person."""

    def folder(self, entry: Entry) -> Path:
        """Return the folder that paths are relative to; raises StoreError where there is none on this machine."""

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run, for trainers that write there; raises StoreError likewise, RunNameError."""

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """Yield run, path and facts of what is named as trainers name checkpoints, and has no manifest."""

    # --- writing ---

    def prepare(self, run: str, *, needed: int) -> None:
        """Find out whether checkpoints of so many bytes can be saved in a run, by doing what a save does, in small.

        Raises:
            StoreError, DiskFullError: they cannot; the message says why.
        """

    def require_space(self, run: str, needed: int) -> None:
        """Raise DiskFullError, saying how much is missing, unless so many bytes fit."""

    def stage(self, run: str) -> AbstractContextManager[Staging]:
        """Return a context, which another thread may leave, in which a checkpoint is built; raises RunNameError."""

    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        """Write a file of ckptkit's own beside the files of an entry, all of it or nothing.

        Args:
            entry: the checkpoint; with its manifest this makes it one.
            path: one of ``manifest_file`` and ``notes``.
            data: its content.
            replace: whether it may be there already.

        Raises:
            ConflictError: it is there.
        """

    # --- removing ---

    def remove(self, entry: Entry, files: Sequence[str] = (), *, lasting: bool = True) -> Removed:
        """Move a checkpoint to the trash; it is listed no more.

        A folder of a trainer's goes as a whole, and only if all that is in it goes.

        Args:
            entry: the checkpoint.
            files: where it shares its folder, which files go with its manifest.
            lasting: also after a power cut; else only once ``make_last`` was called, which costs as much for many
                removals as for one. Until then a power cut may bring it back, whole.

        Raises:
            RefusedError: a trainer's folder holds what is not among the files; it stays.
        """

    # --- what trainers wrote ---

    def orphans(self, run: str) -> list[Entry]:
        """Return what is left of adopted checkpoints whose main file or folder their trainer has removed."""

    def forget(self, entry: Entry) -> None:
        """Take away the manifest of an adopted checkpoint, and what was noted of it; the trainer's files stay."""

    def adopt_from(self, run: str, folder: Path) -> None:
        """Note that the files of a run's adopted checkpoints lie in a folder outside the store.

        Only for this very store: in a copy of it, whatever would read or move them raises RefusedError.

        Raises:
            StoreError: the store is not on a file system, or cannot be written.
        """

    def adopted_from(self, run: str) -> Path:
        """Return the folder with the files of a run's adopted checkpoints: the run's own, where no other was noted.

        Raises:
            RefusedError: another was noted, in another store.
            StoreError: the store is not on a file system.
        """

    def require_outside(self, path: Path) -> None:
        """Raise RefusedError unless a file of this machine may be written without harm to a checkpoint."""

    def require_source(self, path: Path) -> None:
        """Raise RefusedError where a save of the path would copy the store into itself."""
