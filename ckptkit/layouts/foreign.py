"""What a layout of a trainer tells: which names in a folder are its checkpoints, and what belongs to each.

These have no manifest, and their trainers choose the names; so a foreign layout finds, and names nothing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from ckptkit.layouts.interface import Listing


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that a trainer wrote, whole or not: nothing was read.

    Attributes:
        name: its folder, or its main file.
        files: all names that belong to it, right in the listed folder, the main one first.
        step: the training step, where the name tells it.
        count: the number that tells older from newer where it is no known step: of saves, of epochs, or of who knows.
        pointers: names beside it that the trainer moves on to its newest checkpoint; its own name may be one of them.
        marker: the file that the trainer writes last, relative to the listed folder; None where it has none.
        signed: whether something in it, not its name alone, tells whose it is.
    """

    name: str
    files: tuple[str, ...]
    step: int | None = None
    count: int | None = None
    pointers: tuple[str, ...] = ()
    marker: str | None = None
    signed: bool = field(default=False, compare=False)

    @property
    def number(self) -> int | None:
        """Step, else count; None for what has one name for all times (``best_model.zip``)."""
        return self.count if self.step is None else self.step

    @property
    def moves(self) -> bool:
        """Whether its name is a pointer: another checkpoint may have it tomorrow."""
        return self.name in self.pointers


class ForeignLayout(Protocol):
    """One way in which a trainer lays its checkpoints into a folder.

    Attributes:
        kind: its name.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - an attribute of the class

    def find(self, listing: Listing) -> Iterator[Found]:
        """Yield what is named or built as that trainer does it."""


def claimed(layouts: Iterable[ForeignLayout], listing: Listing) -> Iterator[tuple[ForeignLayout, Found]]:
    """Yield what each layout finds that none before it has; no name is given out twice."""
    taken: set[str] = set()
    for layout in layouts:
        for found in sorted(layout.find(listing), key=lambda one: one.name):
            if found.name not in taken:
                own = tuple(file for file in found.files if file not in taken)
                taken.update(own)
                yield layout, replace(found, files=own)


def there(listing: Listing, folder: str, signs: Iterable[str]) -> str | None:
    """Return the path of the first of some files and folders that a folder in the listing holds."""
    return next((path for sign in signs if listing.has(path := f"{folder}/{sign}")), None)


def only(names: Iterable[str], wanted: Callable[[str], object]) -> tuple[str, ...]:
    """Return those names, sorted."""
    return tuple(sorted(filter(wanted, names)))


def beside(listing: Listing, names: Collection[str]) -> tuple[str, ...]:
    """Return those of the names that the folder holds, also as links."""
    return only(names, listing.has)
