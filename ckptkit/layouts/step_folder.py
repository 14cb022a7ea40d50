"""A folder for each checkpoint, with the manifest and a folder for each item: ``step-00005000/policy/...``."""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.layouts import own_names as names
from ckptkit.layouts.interface import Listing


@dataclass(frozen=True, slots=True)
class StepFolder:
    """The layout of ``save``. Any name that ends in the step will do, once a manifest is in it."""

    kind: str = "folder"
    shared: bool = False

    def find(self, listing: Listing) -> Iterator[str]:
        """Yield folders that are named like ours, whole or not, and those that hold a manifest."""
        for name in listing.folders:
            if names.STEP_FOLDER.fullmatch(name) or listing.has(f"{name}/{names.MANIFEST_NAME}"):
                yield name

    def name(self, step: int) -> str:
        """Return ``step-00005000``."""
        return names.step_folder(step)

    def path(self, item: str, file: str) -> str:
        """Return ``policy/model.safetensors``."""
        return f"{item}/{file}"

    def own(self, name: str, file: str) -> str:
        """Return ``manifest.json``, whatever the checkpoint's name."""
        return file


STEP_FOLDER = StepFolder()
