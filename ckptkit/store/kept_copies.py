"""Copies of a checkpoint from a service, made as it is verified, that live objects are restored from: one download."""

import contextlib
import shutil
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ckptkit import durable
from ckptkit.catalog import digests
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import DiskFullError
from ckptkit.manifest.models import FileEntry
from ckptkit.storage import Entry, Storage, scratch_folders, scratch_space
from ckptkit.store import choosing
from ckptkit.store.choosing import Chosen, Ranking
from ckptkit.store.copying_out import CopyingVerifier
from ckptkit.store.reference import Ref
from ckptkit.verification import Level, Verifier


class KeptCopy:
    """See ``copying_out.Filled``.

    Attributes:
        partial: where the copies are.

    Args:
        folder: for them.
        room: holds what they take of the scratch space.
    """

    def __init__(self, folder: Path, room: contextlib.ExitStack) -> None:
        self.partial, self._room = folder / "copy", room

    def begin(self, files: Iterable[FileEntry], needed: int) -> None:
        """Begin anew; raises DiskFullError."""
        with durable.storage_errors("temporary files"):
            shutil.rmtree(self.partial, ignore_errors=True)
            self._room.close()
            self._room.enter_context(scratch_space.taken(needed, kept=True))
            for around in {self.partial, *((self.partial / file.path).parent for file in files)}:
                around.mkdir(parents=True, exist_ok=True)

    def copy(self, at: Entry, files: Sequence[FileEntry], **how: Any) -> list[digests.Found]:
        """Copy files, and return what each is digested to; see ``digests.digests``."""
        with durable.storage_errors("temporary files"):
            return digests.digests(at, files, into=self.partial, **how)

    def keep_only(self, chosen: Chosen, names: Collection[str]) -> None:
        """Remove the copies of all items but these."""
        for name, item in chosen.manifest.items.items():
            for file in item.files if name not in names else ():
                (self.partial / file.path).unlink(missing_ok=True)


def choose(
    storage: Storage,
    ref: Ref,
    names: Collection[str],
    ledger: Ledger,
    *,
    level: Level,
    ranking: Ranking | None,
    exact_run: bool,
) -> tuple[Chosen, Path | None]:
    """Choose as ``choosing.choose`` does; return also a folder with the files of these items, as they were verified.

    It stays as long as the store's object. None where they were not copied: there is no room for all at once.
    """
    try:
        with contextlib.ExitStack() as held:
            folder = held.enter_context(scratch_folders.fresh())
            copy = KeptCopy(folder, held.enter_context(contextlib.ExitStack()))
            verifier = CopyingVerifier(copy, level, ledger=ledger)
            chosen = choosing.choose(storage, ref, verifier, ranking, exact_run=exact_run)
            if verifier.copied != chosen.at:
                return chosen, None
            copy.keep_only(chosen, names)
            weakref.finalize(storage, held.pop_all().close)
            return chosen, copy.partial
    except DiskFullError:
        streaming = Verifier(level, ledger=ledger)
        return choosing.choose(storage, ref, streaming, ranking, exact_run=exact_run), None
