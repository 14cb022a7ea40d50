"""What a store may say whose files are on no file system: of many files at once, and of what its service cannot do."""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from ckptkit.storage.interface import Entry
from ckptkit.storage.values import FileStat


@runtime_checkable
class SupportsStats(Protocol):
    """A ``Storage`` that waits for a service whenever it is asked; not every one does."""

    def stats(self, entry: Entry) -> Mapping[str, FileStat]:
        """Return what is known of all files of an entry that has a folder of its own, by path; raises StoreError."""


@runtime_checkable
class SupportsCaution(Protocol):
    """A ``Storage`` that may not keep every promise; not every one needs to say so."""

    @property
    def caution(self) -> str | None:
        """What a save into it does not promise, and what to do, in one line; None: nothing."""


@runtime_checkable
class SupportsUnseen(Protocol):
    """A ``Storage`` that may not find all that it could free; not every one needs to say so."""

    @property
    def unseen(self) -> str | None:
        """What ``leftovers`` does not find, and what to do, in one line; None: nothing."""
        ...


@runtime_checkable
class SupportsWalk(Protocol):
    """A ``Storage`` that tells what others wrote into it, though no folder of this machine holds it."""

    def walk(self, run: str, *, deep: bool = True) -> Iterator[FileStat]:
        """Yield all files of a run and of the runs in it, but what ckptkit keeps there for itself; nothing is read.

        Args:
            run: the run; paths count from it, and may be unsafe: anybody may have named them.
            deep: False: only those right in it, and the names of the folders in it, as what is no file, with a ``/``
                after them.
        """
