"""A checkpoint of a store on a file system while it is built, and its commit."""

from dataclasses import dataclass
from pathlib import Path

from ckptkit.layouts import STEP_FOLDER
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.interface import Entry, Storage
from ckptkit.storage.local import replacing, staging
from ckptkit.storage.local.place import Place


@dataclass(frozen=True, slots=True)
class LocalStaging:
    """A folder beside the checkpoints of a run, on the same file system."""

    storage: Storage
    run: str
    folder: Path

    def seal(self, manifest: bytes) -> None:
        """See ``Staging.seal``."""
        staging.seal(self.folder, manifest)

    def commit(self, name: str, *, replaces: Entry | None = None) -> Entry:
        """See ``Staging.commit``."""
        entry = Entry(self.run, name, STEP_FOLDER, self.storage)
        run_folder = self.storage.run_folder(self.run)
        place = Place.within(run_folder, name, STEP_FOLDER)
        if replaces is None:
            staging.commit_folder(self.folder, place.folder)
        else:
            replacing.commit(self.folder, place, run_folder / STATE_FOLDER, replaces.ref)
        return entry
