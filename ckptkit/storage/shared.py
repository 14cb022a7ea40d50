"""Powers of a store whose checkpoints may have files, or parts of them, in common: a store need not have them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ckptkit.storage.interface import Entry
from ckptkit.storage.values import Shared as Shared

ReadAt = Callable[[int, int], bytes | bytearray]
"""Takes a place in a file and a number of bytes, and returns these."""


@runtime_checkable
class SupportsSharing(Protocol):
    """A power of a ``Staging``: store once what an earlier checkpoint has, too; neither depends on the other."""

    def share_file(self, path: str, earlier: Entry, earlier_path: str, still: Callable[[], bool]) -> bool:
        """Store a file of the folder as the same bytes of an earlier checkpoint.

        Args:
            path: of the file.
            earlier: a checkpoint of the same store.
            earlier_path: of the file there.
            still: asked once there is a name for it here: whether the earlier checkpoint still is that one.

        Returns:
            Whether it was done; else the file is as it was.
        """
        ...

    def share_parts(
        self,
        path: str,
        earlier: Entry,
        earlier_path: str,
        shared: Sequence[Shared],
        still: Callable[[], bool],
        read: ReadAt | None = None,
    ) -> bool:
        """Store only what is new in a file of the folder, and the rest as parts of an earlier checkpoint's.

        Args:
            path: of the file; it lies there no more afterwards, but is read as before once it is committed.
            earlier: a checkpoint of the same store.
            earlier_path: of the file there.
            shared: the bytes in common, in order.
            still: as of ``share_file``.
            read: returns bytes of the file, from a place on, if those in common are not in it yet.

        Returns:
            Whether it was done; else the file is as it was.
        """
        ...


@runtime_checkable
class SupportsLinks(Protocol):
    """A power of a ``Storage`` on a file system where a file may have several names."""

    def frees(self, entries: Iterable[Entry]) -> int:
        """Return how many bytes are free once these checkpoints are gone for good: what others share stays."""
        ...

    def link_out(self, entry: Entry, path: str, target: Path) -> bool:
        """Give a file of an entry another name, outside the store; returns whether that could be done."""
        ...
