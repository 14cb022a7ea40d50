"""A folder for each checkpoint, with the manifest and a folder for each item: ``step-00005000/policy/...``."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ckptkit.layouts import dcp, orbax
from ckptkit.layouts import own_names as names
from ckptkit.layouts.foreign import there
from ckptkit.layouts.interface import Listing

_OTHERS = (*dcp.SIGNS, dcp.SHARD, *orbax.SIGNS)
"""Of trainers whose folders may be called `step-100` too."""


@dataclass(frozen=True, slots=True)
class StepFolder:
    """The layout of ``save``. Any name that ends in the step will do, once a manifest is in it."""

    kind: str = "folder"
    shared: bool = False

    def find(self, listing: Listing) -> Iterator[str]:
        """Yield folders with a manifest, and those that are named like ours and have no sign of another trainer."""
        for name in listing.folders:
            if listing.has(f"{name}/{names.MANIFEST_NAME}") or (
                names.STEP_FOLDER.fullmatch(name) and there(listing, name, _OTHERS) is None
            ):
                yield name

    def is_plain(self, name: str, inside: Callable[[], Collection[str]]) -> bool:
        """Return whether a folder is one as ``save`` makes it: by its name, a manifest, and no sign of a trainer.

        Only its manifest can go: nothing that comes into it makes it anything else.

        Args:
            name: of the folder.
            inside: asks for the names of what lies right in it.
        """
        if not names.STEP_FOLDER.fullmatch(name):
            return False
        there = inside()
        return names.MANIFEST_NAME in there and not any(sign in there for sign in _OTHERS)

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
