"""Where one checkpoint lies on the file system, in its run or in the trash."""

import os
from dataclasses import dataclass
from pathlib import Path

from ckptkit.layouts import Layout
from ckptkit.manifest.names import MANIFEST_NAME, NOTES


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint's files.

    Attributes:
        home: the folder with ckptkit's own files: its own, or the one it shares with others.
        name: of the checkpoint.
        layout: how its files lie.
        elsewhere: the folder that paths are counted from where it is not the one that ckptkit's own files lie in.
    """

    home: Path
    name: str
    layout: Layout
    elsewhere: Path | None = None

    @classmethod
    def within(cls, run_folder: Path, name: str, layout: Layout, elsewhere: Path | None = None) -> "Place":
        """Return the place of a checkpoint of the run that has this folder."""
        return cls(run_folder if layout.shared else run_folder / name, name, layout, elsewhere)

    @property
    def folder(self) -> Path:
        """The folder that paths are counted from: its own, or the one that it shares with others."""
        return self.home if self.elsewhere is None else self.elsewhere

    @property
    def manifest(self) -> Path:
        """The manifest file; it may be missing."""
        return self.home / self.layout.own(self.name, MANIFEST_NAME)

    @property
    def notes(self) -> list[str]:
        """Names of the other files of ckptkit's own; each may be missing."""
        return [self.layout.own(self.name, name) for name in NOTES]


def identity_of(home: str, manifest: str, *, shared: bool) -> tuple[int, int, int] | None:
    """Return what tells a checkpoint from another one that was put in its place; None once it is gone.

    Args:
        home: the folder with ckptkit's own files.
        manifest: name of its manifest there.
        shared: whether the folder is that of others too.
    """
    own = f"{home}/{manifest}"
    for path in (own,) if shared else (own, home):
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return 0, 0, 0  # something is there that may not be looked at
        return status.st_dev, status.st_ino, status.st_mtime_ns if path == own else 0
    return None
