"""A trainer's files right in the run's folder, and a manifest beside them: ``ep000050.manifest.json``."""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.layouts import own_names as names
from ckptkit.layouts.adopted import main_of
from ckptkit.layouts.interface import Listing


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The layout of ``adopt_in_place`` for files. All checkpoints of a run share one folder."""

    kind: str = "sidecar"
    shared: bool = True

    def find(self, listing: Listing) -> Iterator[str]:
        """Yield what stands before ``.manifest.json`` in a file's name, where no trainer's file and step do."""
        for file in listing.files:
            name = file.removesuffix(names.SIDECAR_SUFFIX)
            if name and name != file and main_of(name) is None:
                yield name

    def name(self, step: int) -> str:
        """Return ``step-00005000``; trainers have names of their own."""
        return names.step_folder(step)

    def path(self, item: str, file: str) -> str:
        """Return the file's own name: it lies right beside the manifest."""
        return file

    def own(self, name: str, file: str) -> str:
        """Return ``ep000050.manifest.json``."""
        return f"{name}.{file}"


SIDECAR = Sidecar()
