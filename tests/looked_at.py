"""What the layouts and trainers tell of a folder, as adopting asks them."""

import os
from pathlib import Path

from ckptkit.layouts import FOREIGN, Listing, claimed
from ckptkit.trainers import TRAINERS, Judged, Seen, Told


def seen_in(folder: Path) -> dict[str, tuple[str, Seen]]:
    """Return kind and sight of each checkpoint right in a folder, by its name."""
    names = os.listdir(folder)
    folders = [name for name in names if (folder / name).is_dir()]
    files = [name for name in names if name not in folders]
    listing = Listing(folders, files, lambda path: os.path.lexists(folder / path))
    return {one.name: (layout.kind, Seen(folder, one, listing)) for layout, one in claimed(FOREIGN, listing)}


def judged(folder: Path, name: str) -> Judged:
    kind, seen = seen_in(folder)[name]
    return TRAINERS[kind].judge(seen)


def told(folder: Path, name: str) -> Told:
    kind, seen = seen_in(folder)[name]
    return TRAINERS[kind].told(seen)


def states(folder: Path) -> dict[str, str]:
    """Return whether each is complete."""
    return {name: TRAINERS[kind].judge(seen).state for name, (kind, seen) in seen_in(folder).items()}
