"""Flip bits of a checkpoint's files, one at a time, and say which of them a verification did not find."""

import random
from collections.abc import Sequence
from pathlib import Path

from ckptkit.storage import Entry
from ckptkit.verification import CheckpointReport, Verifier

FLIPS = 300
Missed = tuple[str, int, list[str]]


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over; a second time puts it back."""
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0]
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


def named(report: CheckpointReport) -> set[str | None]:
    """Return the files that a report calls damaged."""
    return {problem.file for problem in report.problems if problem.severity != "warning"}


def flipped(at: Entry, files: Sequence[Path], folder: Path, seed: int) -> tuple[int, list[Missed]]:
    """Flip ``FLIPS`` bits: one of every file at least, the rest where the bytes are; no bit twice.

    Args:
        at: the checkpoint, as a store locates it.
        files: its payload; each is left as it was.
        folder: what the names in a report are relative to.
        seed: of the bits that are chosen.

    Returns:
        How many bits were flipped, and each that was not found, or told of another file.
    """
    chance = random.Random(seed)
    sizes = [path.stat().st_size for path in files]
    places = {(number, chance.randrange(size * 8)) for number, size in enumerate(sizes) if size}
    while len(places) < FLIPS:
        number = chance.choices(range(len(files)), sizes)[0]
        places.add((number, chance.randrange(sizes[number] * 8)))
    missed = []
    for number, bit in sorted(places):
        path = files[number]
        flip(path, bit)
        report = Verifier("digest").verify(at)
        if report.good or named(report) != {path.relative_to(folder).as_posix()}:
            missed.append((path.name, bit, [problem.message for problem in report.problems]))
        flip(path, bit)
    return len(places), missed
