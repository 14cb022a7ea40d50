"""Copy a checkpoint into a new folder as it is verified: each byte is read once, and only a good copy gets its name."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ckptkit import durable
from ckptkit.catalog import digests
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, StoreError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.models import FileEntry, Manifest
from ckptkit.problem import Problem, fails
from ckptkit.storage import Entry, Stamp, SupportsLinks
from ckptkit.store.choosing import Chosen
from ckptkit.verification import Level, Verifier


class Filled(Protocol):
    """A folder that is filled with the files of a checkpoint.

    Attributes:
        partial: where it is filled.
    """

    partial: Path

    def begin(self, files: Iterable[FileEntry], needed: int) -> None:
        """Begin to fill it, anew if it was begun before."""

    def copy(self, at: Entry, files: Sequence[FileEntry], **how: Any) -> list[digests.Found]:
        """Copy files of a checkpoint, and return what each is digested to."""


class NewFolder:
    """A folder that is filled beside its place, and is put there whole.

    Attributes:
        destination: its place.
        partial: where it is filled.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination.resolve()
        self.partial = self.destination.with_name(f"{self.destination.name}.partial-{os.getpid()}")
        self._missing = [folder for folder in self.partial.parents if not folder.exists()]

    def begin(self, files: Iterable[FileEntry], needed: int) -> None:
        """Begin to fill it, anew if it was begun before.

        Args:
            files: what it is to hold.
            needed: bytes of them all, also of those that are not copied.

        Raises:
            ConflictError: there is something at its place already.
            StoreError, DiskFullError: it cannot be written.
        """
        place = self.destination
        with self._writing():
            if os.path.lexists(place) and (not place.is_dir() or any(place.iterdir())):
                raise ConflictError(f"{place}: exists already", hint="name a new folder")
            shutil.rmtree(self.partial, ignore_errors=True)
            durable.require_space(place.parent, needed)
            durable.make_folders(self.partial)
            for folder in {(self.partial / file.path).parent for file in files}:
                folder.mkdir(parents=True, exist_ok=True)

    def copy(self, at: Entry, files: Sequence[FileEntry], **how: Any) -> list[digests.Found]:
        """Copy files of a checkpoint, and return what each is digested to; see ``digests.digests``."""
        with durable.storage_errors(str(self.destination)):
            return digests.digests(at, files, into=self.partial, **how)

    def finish(self, at: Entry) -> None:
        """Put it in its place, with the manifest of the checkpoint, to last; raises StoreError."""
        with durable.storage_errors(at.ref):
            manifest = at.storage.read(at, at.manifest_file, MAX_BYTES)
        with self._writing():
            (self.partial / at.manifest_file).write_bytes(manifest)
            durable.fsync_tree(self.partial)
            os.rename(self.partial, self.destination)
            durable.fsync_path(self.destination.parent)

    def _writing(self) -> AbstractContextManager[None]:
        hint = "name a folder where you may write"  # it is none of the store's
        return durable.storage_errors(f"{self.destination}: cannot be written", hint)

    def clear(self) -> None:
        """Remove all of it that is not in its place."""
        shutil.rmtree(self.partial, ignore_errors=True)
        for folder in self._missing:  # those that are empty, when nothing came into them
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextmanager
def new_folder(destination: Path) -> Iterator[NewFolder]:
    """Yield a folder that is not there yet; of what is not finished at the end of the block nothing stays."""
    new = NewFolder(destination)
    try:
        yield new
    finally:
        with durable.undivided():
            new.clear()


class CopyingVerifier(Verifier):
    """Verifies what it copies, by the bytes that were read for it: the content of the copy is looked into.

    A checkpoint that is bad already by its manifest and the sizes of its files is not copied, only digested.

    Args:
        new: the folder.
        level: how far to verify.
        link: copy nothing: what verifies is linked.
        how: as of ``Verifier``.

    Attributes:
        copied: the checkpoint that the folder holds now, if it was verified on a level that digests.
    """

    def __init__(self, new: Filled, level: Level, *, link: bool = False, **how: Any) -> None:
        super().__init__(level, **how)
        self._link = link
        self._copies_items = False  # all of it is copied here
        self.copied: Entry | None = None
        self._new = new
        self._copies = False

    def _digests(
        self, at: Entry, manifest: Manifest, known: Iterable[Problem], before: Mapping[str, Stamp] | None
    ) -> tuple[list[Problem], int]:
        self.copied, self._copies = None, not self._link and not fails(known)
        if self._copies:
            self._new.begin(files_of(manifest), manifest.size)
        found = super()._digests(at, manifest, known, before)
        self.copied = at if self._copies else None
        return found

    def _digested(
        self, at: Entry, files: Sequence[FileEntry], before: Mapping[str, Stamp] | None
    ) -> list[digests.Found]:
        if not self._copies:
            return super()._digested(at, files, before)
        return self._new.copy(at, files, jobs=self._jobs, on_bytes=self._on_bytes)

    def _folder(self, at: Entry) -> Path | None:
        return self._new.partial if self.copied == at else None


def copy_out(
    chosen: Chosen,
    new: NewFolder,
    *,
    on_bytes: Callable[[int], None] | None = None,
    jobs: int | None = None,
    link: bool = False,
) -> None:
    """Copy the files of a verified checkpoint, digesting every byte on the way.

    Args:
        chosen: the checkpoint.
        new: the folder; it is still to be finished.
        on_bytes: told what is copied.
        jobs: how many threads copy; all cores when left out.
        link: give files another name where that can be done, and copy only the others.

    Raises:
        ConflictError: the folder exists and is not empty.
        DamagedError: a file changed since it was verified.
        StoreError: a file cannot be read, or the folder cannot be written.
    """
    at, files = chosen.at, files_of(chosen.manifest)
    new.begin(files, 0 if link else chosen.manifest.size)
    if link and isinstance(at.storage, SupportsLinks):
        with durable.storage_errors(str(new.destination)):
            files = [file for file in files if not at.storage.link_out(at, file.path, new.partial / file.path)]
    for file, found in zip(files, new.copy(at, files, jobs=jobs, on_bytes=on_bytes), strict=True):
        if isinstance(found, StoreError):
            raise found
        if isinstance(found, CkptkitError) or found != (file.size, file.digest):
            raise DamagedError(f"{at.ref}: {file.path}: changed while it was copied")


def files_of(manifest: Manifest) -> list[FileEntry]:
    """Return the files of all items."""
    return [file for item in manifest.items.values() for file in item.files]
