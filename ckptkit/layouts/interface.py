"""What a layout tells: which names in a folder are checkpoints, and where in one a file lies."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies right in a folder.

    Attributes:
        folders: names of the folders in it.
        files: names of everything else.
        has: asks whether there is something at a path relative to the folder.
    """

    folders: Collection[str]
    files: Collection[str]
    has: Callable[[str], bool]


class Layout(Protocol):
    """One way in which checkpoints lie in the folder of their run.

    Attributes:
        kind: its name, for other processes and for people.
        shared: whether the files lie in the run's folder itself, beside those of other checkpoints.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - an attribute of the class

    @property
    def shared(self) -> bool: ...  # noqa: D102 - an attribute of the class

    def find(self, listing: Listing) -> Iterator[str]:
        """Yield the names of the checkpoints in a folder, whole or not."""

    def name(self, step: int) -> str:
        """Return the name of the checkpoint of a step."""

    def path(self, item: str, file: str) -> str:
        """Return where a file of an item lies, relative to the folder that manifests count paths from."""

    def own(self, name: str, file: str) -> str:
        """Return where a file of ckptkit's own (``manifest.json``) of that checkpoint lies, counted likewise."""
