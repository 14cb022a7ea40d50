"""Where one checkpoint is: its run, its folder and its manifest file."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ckptkit.manifest.names import MANIFEST_NAME, OBSERVED_NAME, SHOWN_NAME, SIDECAR_SUFFIX, STATE_FOLDER, step_of_name


@dataclass(frozen=True)
class Location:
    """A checkpoint on disk, read or not.

    Attributes:
        run: run name, by place: a checkpoint copied into another run's folder belongs to that run there.
        folder: the folder that file paths in the manifest are relative to.
        manifest: the manifest file; it may be missing (an incomplete checkpoint).
    """

    run: str
    folder: Path
    manifest: Path

    @property
    def sidecar(self) -> bool:
        """Whether the manifest lies beside flat files (``ep000050.manifest.json``), in a folder shared with others."""
        return self.manifest.name != MANIFEST_NAME

    @cached_property
    def name(self) -> str:
        """Folder name, or the stem of a sidecar's manifest."""
        return self.manifest.name.removesuffix(SIDECAR_SUFFIX) if self.sidecar else self.folder.name

    @cached_property
    def step(self) -> int | None:
        """The step number that the name ends in; the manifest must agree with it."""
        return step_of_name(self.name)

    @property
    def ref(self) -> str:
        """``RUN@STEP``."""
        return f"{self.run}@{self.step}"

    @property
    def identity(self) -> tuple[int, int, int] | None:
        """What distinguishes it from another one put in its place; None once it is gone."""
        for path in (self.manifest,) if self.sidecar else (self.manifest, self.folder):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return 0, 0, 0  # something is there that may not be looked at
            return status.st_dev, status.st_ino, status.st_mtime_ns if path == self.manifest else 0
        return None

    @property
    def state_folder(self) -> Path:
        """The ``.ckptkit`` of its run, by place: a stranger's folder may have a name that no run can have."""
        return (self.folder if self.sidecar else self.folder.parent) / STATE_FOLDER

    @property
    def observed(self) -> Path:
        """The sealed file of what the live run did next; it may be missing."""
        return self.folder / (f"{self.name}.observed.json" if self.sidecar else OBSERVED_NAME)

    @property
    def shown(self) -> Path:
        """The file of what was shown about it since it was saved; it may be missing."""
        return self.folder / (f"{self.name}.shown.json" if self.sidecar else SHOWN_NAME)
