"""The content of a checkpoint that a trainer wrote: what its item is called, and whether it is a copy of another."""

import filecmp
from pathlib import Path

from ckptkit import registry
from ckptkit.layouts.tf_train import DATA_FILE
from ckptkit.store.adopting import ITEMS
from ckptkit.trainers.finding import Sighting


def item_of(sighting: Sighting) -> str:
    """Return what the item of no known trainer is called: by its backend."""
    backend = registry.for_path(sighting.path, name=sighting.seen.found.name)[0].name
    return ITEMS.get(backend, backend).partition(":")[0]


def main(sighting: Sighting) -> str:
    """Return what a program is pointed to: the folder or main file, or the prefix of a TensorFlow checkpoint."""
    found = sighting.seen.found
    prefixes = {match[1] for name in found.files if (match := DATA_FILE.fullmatch(name))}
    return prefixes.pop() if len(prefixes) == 1 else found.name


def is_copy(sighting: Sighting, other: Path) -> bool:
    """Return whether a checkpoint of one file is a byte copy of another, or the same file."""
    path = sighting.path
    try:
        one_file = len(sighting.seen.found.files) == 1 and path.is_file() and other.is_file()
        return one_file and filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False
