"""Find the checkpoints in the listing of a folder, in the order in which every store gives them."""

from collections.abc import Iterable

from ckptkit.layouts.adopted import ADOPTED, main_of
from ckptkit.layouts.interface import Layout, Listing
from ckptkit.layouts.own_names import step_of_name
from ckptkit.layouts.sidecar import SIDECAR
from ckptkit.layouts.step_folder import STEP_FOLDER

OURS: tuple[Layout, ...] = (STEP_FOLDER, SIDECAR, ADOPTED)
"""The layouts that checkpoints with a manifest have; ``FLAT`` is a step folder without a folder for each item."""

Checkpoint = tuple[str, Layout]
"""Name of the checkpoint, layout."""


def checkpoints(listing: Listing) -> list[Checkpoint]:
    """Return the checkpoints right in a folder, by step and name; those whose names end in no number come first."""
    return in_order((name, layout) for layout in OURS for name in layout.find(listing))


def in_order(found: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Return checkpoints of one folder by step and name; those whose names end in no number come first."""
    return sorted(found, key=lambda one: (-1 if (step := step_of_name(one[0])) is None else step, one[0]))


def other_folders(listing: Listing, found: Iterable[Checkpoint]) -> list[str]:
    """Return the folders that are no checkpoints and hold nothing of ckptkit's own: runs may be in them."""
    taken = {main_of(name) if layout is ADOPTED else None if layout.shared else name for name, layout in found}
    return sorted(name for name in listing.folders if name not in taken and not name.startswith("."))
