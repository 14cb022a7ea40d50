"""What a program hands to the backend: files that it wrote itself, and what only it can know about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol

from ckptkit.backend import Captured, SnapshotContext

Create = Callable[[Path], BufferedIOBase]


class Content(Protocol):
    """What is to be in a file, and lies in live objects still."""

    def write(self, stream: BufferedIOBase) -> None:
        """Write it into an open new file."""
        ...

    def apart(self, context: SnapshotContext) -> Callable[[BufferedIOBase], None]:
        """Copy what may change, and return what writes it later."""
        ...


class Contents(Protocol):
    """The same of several files, which one piece of code writes.

    Attributes:
        names: of the files, in the item.
    """

    names: Sequence[str]

    def write(self, directory: Path, create: Create) -> None:
        """Write them into a folder; ``create`` opens a new file that is digested while it is written."""
        ...

    def apart(self, context: SnapshotContext) -> Callable[[Path, Create], None]:
        """Copy what may change, and return what writes them later."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """Files that the caller wrote, whole and closed, with what it knows about continuing from them.

    Attributes:
        files: name in the item -> where the file is now; it is copied. Or what it is to hold. Or what all are to hold.
        captured: the caller's own grade, which it answers for: nothing here can check it.
        step: the step that the files are at.
        counters: other counts that they hold.
        metadata: JSON values for people and for the caller's own restore.
        hazards: one line each: what may make a resume differ.
        digests: digests of what training continues from, by part, for an observer to compare.
    """

    files: Mapping[str, Path | Content] | Contents
    captured: Captured
    step: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    hazards: Sequence[str] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
