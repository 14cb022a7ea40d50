"""The small files in which trainers say how far they are, read within bounds; and what may be a number in them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.trainers.ends import NotReadError, reading

MOST_BYTES = 64 << 20
MOST_STEP = 10**12


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        NotReadError: it has more than ``most``, or cannot be opened.
        DamagedError: it is empty, not there, a link, or a folder.
    """
    with reading(path) as (stream, length):
        if length > most:
            raise NotReadError(f"{escaped(path.name)} has {length} bytes, of which at most {most} are read")
        data = stream.read(most)
    if not data.strip(b"\0 \t\r\n"):
        raise DamagedError(f"{escaped(path.name)} is empty")
    return data


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, as Python wrote it: with NaN and Infinity. Raises as ``content`` does."""
    data, name = content(path), escaped(path.name)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{name} is cut short, or no JSON") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{name} holds no JSON object")
    return value


def as_count(value: object) -> int | None:
    """Return a whole number that can be a step or a count of epochs; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_STEP else None


def as_epoch(value: object) -> int | None:
    """Return how many epochs are over; trainers that save within one count in fractions."""
    return as_count(math.floor(value)) if isinstance(value, float) and math.isfinite(value) else as_count(value)


def as_number(value: object) -> float | None:
    """Return a number as a metric has it, NaN and infinity too; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def numbers(values: object) -> Iterator[tuple[str, float]]:
    """Yield what is a number in a dict, and has a name that can be a metric's."""
    for name, value in values.items() if isinstance(values, dict) else ():
        number = as_number(value)
        if number is not None and isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable():
            yield name, number
