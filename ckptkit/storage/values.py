"""What a store tells of files, places, its trash and of what saves that died left behind, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Stamp = tuple[int, int, int, int]
"""Changes whenever a file may have changed: size, time of its content, time of any change (both in ns), inode; or what
a store has in place of these."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What a store tells of a file without reading it.

    Attributes:
        path: relative to where the manifest counts paths from.
        size: in bytes.
        regular: whether it is a file at all; a link or a device is not.
        stamp: see ``Stamp``.
    """

    path: str
    size: int
    regular: bool
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Shared:
    """Bytes that a file has in common with one of an earlier checkpoint.

    Attributes:
        start: where they begin in the file.
        earlier: where they begin in the earlier one.
        length: how many there are.
    """

    start: int
    earlier: int
    length: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A checkpoint in the trash.

    Attributes:
        run: the run it was removed from.
        key: its entry in the trash.
        removed_at: when.
        step: its step; None if nothing is left of it.
        where: for a person.
        size: bytes of its payload; None where the store does not say.
    """

    run: str
    key: str
    removed_at: datetime
    step: int | None
    where: str
    size: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a save that died, or the trash, left behind and a prune takes away.

    Attributes:
        run: the run it belongs to.
        key: what the store calls it.
        where: for a person.
    """

    run: str
    key: str
    where: str

    def __str__(self) -> str:
        return self.where


Lock = Literal["save", "change", "refs"]
"""``save``: shared, tells prunes that a save is under way, never waits. ``change``: alone, to remove or bring back what
is committed; holds ``refs`` too. ``refs``: alone, to pin and tag."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a path lies in a store.

    Attributes:
        store: what opens the store: its folder, or a URL.
        run: the run that holds it; or, where ``name`` and ``removed`` are None, all of the path below the
            store, as the name of a run: ``.`` for the store itself.
        name: the checkpoint that it is, or is in.
        removed: the entry in the trash of the run that it is, or is in.
    """

    store: str
    run: str
    name: str | None = None
    removed: str | None = None
