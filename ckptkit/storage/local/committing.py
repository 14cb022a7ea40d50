"""A checkpoint of a store on a file system while it is built, and its commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit.layouts import STEP_FOLDER
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.interface import Entry, Storage
from ckptkit.storage.local import replacing, sharing, staging
from ckptkit.storage.local.place import Place
from ckptkit.storage.shared import ReadAt, Shared


@dataclass(frozen=True, slots=True)
class LocalStaging:
    """A folder beside the checkpoints of a run, on the same file system."""

    storage: Storage
    run: str
    folder: Path

    def seal(self, manifest: bytes) -> None:
        """See ``Staging.seal``."""
        staging.seal(self.folder, manifest)

    def share_file(self, path: str, earlier: Entry, earlier_path: str, still: Callable[[], bool]) -> bool:
        """See ``SupportsSharing.share_file``."""
        before = self.storage.folder(earlier)
        if (before / earlier_path).is_file():
            return sharing.link(before / earlier_path, self.folder / path, still)
        whole = Shared(0, 0, (self.folder / path).stat().st_size)
        return self.share_parts(path, earlier, earlier_path, [whole], still)

    def share_parts(
        self,
        path: str,
        earlier: Entry,
        earlier_path: str,
        shared: Sequence[Shared],
        still: Callable[[], bool],
        read: ReadAt | None = None,
    ) -> bool:
        """See ``SupportsSharing.share_parts``."""
        return sharing.part(self.folder, path, self.storage.folder(earlier), earlier_path, shared, still, read)

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
