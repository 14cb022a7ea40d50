"""The contract of a store that is listed without a look at each checkpoint: names are remembered while nothing changed.

Who remembers is not the store: it is given a ``FolderMemory``, and says itself when what is remembered still holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from ckptkit.layouts import Found
from ckptkit.storage.interface import Entry
from ckptkit.storage.values import Stamp


@dataclass(frozen=True, slots=True)
class FolderNames:
    """What lay in the folder of a run, but for what is ckptkit's own.

    Attributes:
        plain: folders as ``save`` makes them, each with a manifest, by step; no name has a space.
        folders: names of all other folders; each may be a checkpoint, or hold runs.
        files: names of what is neither a folder nor a link.
        links: names of symbolic links.
    """

    plain: Sequence[str]
    folders: Sequence[str]
    files: Sequence[str]
    links: Sequence[str]


class FolderMemory(Protocol):
    """Remembers the names in the folders of runs; it may forget any of them at any time."""

    def recall(self, run: str) -> tuple[Stamp | None, FolderNames] | None:
        """Return what was kept of a run's folder."""

    def keep(self, run: str, stamp: Stamp | None, names: FolderNames) -> None:
        """Remember the names in a run's folder, and the stamp that it has while they are the same; None: none tells."""

    def forget(self, runs: Iterable[str]) -> None:
        """Forget what was kept of these runs."""


class OwnFiles(NamedTuple):
    """What a look at ckptkit's own files of a checkpoint tells.

    Attributes:
        stamp: of its manifest; None where it is no regular file, or cannot be examined.
        settled: whether any change since must show in the stamp.
        shown: whether anything may have been shown of it.
        signed: whether it may be signed.
    """

    stamp: Stamp | None
    settled: bool
    shown: bool
    signed: bool


class RememberingStorage(Protocol):
    """A look at a store's names; everything may raise StoreError."""

    def runs(self, run: str | None = None) -> Iterator[tuple[str, Sequence[Entry]]]:
        """Yield each run that has any, and its checkpoints, in the order of ``scan``; each is made when asked for."""

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """Yield the same as ``Storage.unlisted``."""

    def own_files(self, entries: Iterable[Entry]) -> Iterator[OwnFiles]:
        """Yield what is to be known of the manifest of each, before anything is read."""

    def is_still_one(self, entry: Entry) -> bool:
        """Return whether a checkpoint without a manifest would be listed had nothing been remembered."""


@runtime_checkable
class SupportsRemembering(Protocol):
    """A ``Storage`` that can be listed so; not every one can."""

    def remembering(self, memory: FolderMemory) -> RememberingStorage | None:
        """Return a look at this store through a memory; None where its clock tells no change for sure."""


@runtime_checkable
class KeepsIndex(Protocol):
    """A ``RememberingStorage`` of a store that waits for each file, and keeps what was read for all who read it."""

    def read_index(self, run: str) -> bytes | None:
        """Return what was kept of a run, or None."""

    def replace_index(self, run: str, data: bytes) -> None:
        """Keep it instead, unless somebody else has since it was read; raises StoreError."""
