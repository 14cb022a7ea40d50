"""Spoils copies of saved files, one file and one kind of damage at a time."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ckptkit.testing.hooks import Saved


def damaged_copies(saved: Saved, kind: str, place: Path) -> Iterator[tuple[str, Saved]]:
    """Yield ``(file, record of a copy in which only that file is damaged)`` for every file that can be damaged so.

    Args:
        saved: the item, which stays as it is.
        kind: a key of ``DAMAGES``.
        place: folder for the copies; only one exists at a time.
    """
    for number, file in enumerate(saved.files):
        path = saved.directory / file
        if kind != "deleted" and not path.stat().st_size:
            continue
        copy = place / f"copy-{number}"
        shutil.copytree(saved.directory, copy)
        DAMAGES[kind](copy / file)
        yield file, saved.at(copy)
        shutil.rmtree(copy)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _halve(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _cut(path: Path) -> None:
    # Text that only lost its last line break has lost nothing, so at least one byte of content goes with it.
    path.write_bytes(path.read_bytes().rstrip(b"\r\n")[:-1])


def _overwrite(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": _delete,
    "emptied": _empty,
    "halved": _halve,
    "one byte short": _cut,
    "overwritten": _overwrite,
}
"""What can happen to one file, by name; each takes its path."""
