"""What an earlier checkpoint of the same run has, and this one has not: one run saves the same files each time."""

import os
import re
from collections.abc import Iterator

from ckptkit.formats.escaped import escaped
from ckptkit.layouts.numbers import end_number
from ckptkit.trainers.interface import Seen


def gone_since(seen: Seen, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield one line for each name of the pattern that the folder of the checkpoint before has, and this one lacks."""
    before = _before(seen)
    if before is None:
        return
    try:
        names = sorted(filter(pattern.fullmatch, os.listdir(seen.folder / before)))
    except OSError:
        return
    for name in names:
        if not seen.listing.has(f"{seen.found.name}/{name}"):
            yield f"no {escaped(name)} is in it, though {escaped(before)} has one"


def _before(seen: Seen) -> str | None:
    """Return the folder of the checkpoint before, of the same naming."""
    own = end_number(seen.found.name)
    if own is None:
        return None
    stem = seen.found.name.rstrip("0123456789")
    others = {
        number: name
        for name in seen.listing.folders
        if name.startswith(stem) and name[len(stem) :].isdigit() and (number := end_number(name)) is not None
    }
    return others.get(max((number for number in others if number < own), default=-1))
