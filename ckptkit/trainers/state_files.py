"""The small files in which trainers say how far they are, read within bounds; and what may be a number in them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened, reason

MOST_BYTES = 64 << 20
MOST_STEP = 10**12


class TooLargeError(DamagedError):
    """More bytes than such a file ever has: it was not read."""


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        TooLargeError: it has more than ``most``.
        DamagedError: it is not there, a link, a folder, or cannot be read.
    """
    name = escaped(path.name)
    try:
        with opened(path) as (stream, length):
            if length > most:
                raise TooLargeError(f"{name}: {length} bytes are too many for it, at most {most} are read")
            return stream.read(most)
    except TooLargeError:
        raise
    except (DamagedError, OSError, ValueError) as error:
        raise DamagedError(f"{name}: {_why(path, error)}") from error


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, as Python wrote it: with NaN and Infinity. Raises as ``content`` does."""
    data, name = content(path), escaped(path.name)
    if not data.strip(b"\0 \t\r\n"):
        raise DamagedError(f"{name}: is empty")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{name}: is cut short, or no JSON") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{name}: holds no JSON object")
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


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    if isinstance(error, (OSError, DamagedError)):
        kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else reason(error)
        return f"is {kind}" if kind.startswith(("a ", "not ")) else f"cannot be read ({kind})"
    return "has a name that cannot be opened"
