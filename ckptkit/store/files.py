"""Files: what a trainer already wrote, given to ``save`` where a live object could be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """Files that a trainer already wrote, to be adopted as an item: a file, a folder or a prefix.

    Attributes:
        path: where they are.
        backend: the backend they are for; detected by content when None.
    """

    path: Path
    backend: str | None = None

    def __post_init__(self) -> None:
        """Take text for the path that it is."""
        object.__setattr__(self, "path", Path(self.path))
