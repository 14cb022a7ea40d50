"""A folder for each checkpoint in which the files of all items lie beside the manifest, as trainers draw them."""

from dataclasses import dataclass

from ckptkit.layouts.step_folder import StepFolder


@dataclass(frozen=True, slots=True)
class Flat(StepFolder):
    """The layout of ``save --flat``. It is found as a step folder; only its manifest tells the two apart."""

    kind: str = "flat"

    def path(self, item: str, file: str) -> str:
        """Return the file's own name: items have no folders."""
        return file


FLAT = Flat()
