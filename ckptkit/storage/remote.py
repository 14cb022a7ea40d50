"""A power of a store whose files are on no file system: each look is a request, so it tells of many files at once."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ckptkit.storage.interface import Entry
from ckptkit.storage.values import FileStat


@runtime_checkable
class SupportsStats(Protocol):
    """A ``Storage`` that waits for a service whenever it is asked; not every one does."""

    def stats(self, entry: Entry) -> Mapping[str, FileStat]:
        """Return what is known of all files of an entry that has a folder of its own, by path; raises StoreError."""
