"""Whether anything of a checkpoint changed between two looks, by the stamps of its files."""

import os
from collections.abc import Mapping

from ckptkit.trainers.finding import Sighting

Stamps = Mapping[str, tuple[int, int, int]]
"""By path relative to the folder that all of it lies in: size, mtime and ctime in ns."""


def size_of(sighting: Sighting) -> int:
    """Return how many bytes its files have."""
    return sum(size for size, *_ in stamps(sighting).values())


def stamps(sighting: Sighting) -> Stamps:
    """Return the stamps of all files; what goes meanwhile is left out, and links are not followed."""
    folder, found = str(sighting.seen.folder), {}
    waiting = list(sighting.seen.found.files)
    for name in waiting:
        path = f"{folder}/{name}"
        try:
            told = os.lstat(path)
            if os.path.isdir(path) and not os.path.islink(path):
                waiting += [f"{name}/{inner}" for inner in os.listdir(path)]
            else:
                found[name] = told.st_size, told.st_mtime_ns, told.st_ctime_ns
        except OSError:
            continue
    return found
