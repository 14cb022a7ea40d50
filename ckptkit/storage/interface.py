"""The contract of a store: what every other room may ask of it, wherever it keeps its checkpoints.

Paths are relative, with ``/`` between their parts, and counted as an entry's manifest counts them. A ``Path`` is
handed out at three doors only: ``fetch`` (what a backend reads), ``Staging.folder`` (what a backend writes), and the
folders that trainers themselves write into (``folder``, ``run_folder``), which only a store on a file system has.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from ckptkit.layouts import Found
from ckptkit.storage.entry import Entry as Entry
from ckptkit.storage.values import FileStat as FileStat
from ckptkit.storage.values import Leftover as Leftover
from ckptkit.storage.values import Lock as Lock
from ckptkit.storage.values import Removed as Removed
from ckptkit.storage.values import Stamp as Stamp


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


class Storage(Protocol):
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

    def make_last(self, removed: Sequence[Removed | Leftover]) -> None:
        """Make removals outlast a power cut, or that leftovers were set aside."""

    def removed(self, run: str | None = None) -> list[Removed]:
        """Return what is in the trash of a run, or of all runs (of those that may be read), the last removed first."""

    def bring_back(self, removed: Removed) -> None:
        """Take a checkpoint back out of the trash.

        Raises:
            ConflictError: something is at its place already.
            DamagedError: nothing is left of it, or what belongs to it cannot be told: nothing was moved.
        """

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        """Finish removals that a crash cut in half.

        Args:
            run: the run.
            claimed: files that checkpoints which are still there list too; they stay.
        """

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """Return what saves that died left behind, and trash, older than ``grace`` seconds."""

    def set_aside(self, leftover: Leftover) -> Leftover:
        """Take it out of the trash in one step, for ``purge`` alone: nothing brings it back, and no lock guards it."""

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """Remove it for good; ``on_bytes`` is called with the sizes of what is gone."""

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

    # --- what belongs to a run and to no checkpoint ---

    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        """Return a small file of ckptkit's own, or None: there is none. Raises as ``read`` otherwise."""

    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        """Replace such a file in one step: readers see the old or the new content.

        Args:
            run: the run.
            name: of the file.
            data: its content.
            lasting: also after a power cut, which costs two flushes; what is disposable need not.
        """

    def where_state(self, run: str, name: str) -> str:
        """Return where such a file is, for a person."""

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        """Return a context that holds a lock of the run, which another thread may leave; it dies with the process.

        Raises:
            LockedError: another process holds it for too long.
        """

    def hold(self, run: str) -> None:
        """Hold a run for this process until it ends or lets it go; again is nothing.

        Raises:
            LockedError: another process holds it; the message says which one.
        """

    def release(self, run: str) -> None:
        """Let a run go; without effect where it is not held."""

    def require_outside(self, path: Path) -> None:
        """Raise RefusedError unless a file of this machine may be written without harm to a checkpoint."""

    def require_source(self, path: Path) -> None:
        """Raise RefusedError where a save of the path would copy the store into itself."""
