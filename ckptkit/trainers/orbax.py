"""Orbax: a folder has its name, and ``commit_success.txt`` where its options ask for it, when all is written.

Source: orbax/checkpoint/_src/path/atomicity.py (``AtomicRenameTemporaryPath``, ``CommitFileTemporaryPath``),
_src/metadata/step_metadata_serialization.py.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.orbax import COMMITTED, METADATA, UNFINISHED
from ckptkit.trainers.ends import not_whole
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.state_files import content, json_object, numbers
from ckptkit.trainers.steps import told_step

_METRICS = ("metrics/metrics",)
_MOST_BYTES = 1 << 20
_SUCCESS = b"Checkpoint commit was successful to "
_RESUMING = Resuming(call="manager.restore(STEP)")


@dataclass(frozen=True, slots=True)
class Orbax:
    """``CheckpointManager`` and ``StandardCheckpointer``; a program of its own loads them, with flags of its own."""

    kind: str = "orbax"
    title: str = "Orbax"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return what its name and its marks say."""
        folder = seen.folder / seen.found.name
        if UNFINISHED in seen.found.name:
            return Judged("incomplete", ("it still has the temporary name that Orbax gives it until it is whole",))
        parts = [name for name in _names(folder) if UNFINISHED in name]
        if parts:
            return Judged("incomplete", (f"{escaped(parts[0])} in it still has a temporary name",))
        try:
            if seen.listing.has(f"{seen.found.name}/{COMMITTED}"):
                return _by_mark(folder / COMMITTED)
            if seen.listing.has(f"{seen.found.name}/{METADATA}"):
                return _by_metadata(folder / METADATA)
        except DamagedError as error:
            return not_whole(error)
        return Judged("unknown", (f"it has neither {COMMITTED} nor {METADATA}",))

    def told(self, seen: Seen) -> Told:
        """Return the step of the name, and the metrics that ``CheckpointManager`` was given."""
        told, doubts = told_step(seen, ()), []
        metrics: dict[str, float] = {}
        for file in _METRICS:
            if seen.listing.has(f"{seen.found.name}/{file}"):
                try:
                    metrics |= dict(numbers(json_object(seen.folder / seen.found.name / file)))
                except DamagedError as error:
                    doubts.append(f"metrics: {error.message}")
        return Told(told.step, told.step_from, metrics=metrics, doubts=(*told.doubts, *doubts))


def _by_mark(path: Path) -> Judged:
    mark = content(path, _MOST_BYTES)  # not an empty one
    if len(mark) <= len(_SUCCESS) and _SUCCESS.startswith(mark):
        raise DamagedError(f"{COMMITTED} is cut short")
    return Judged("complete", (f"{COMMITTED}, written last, is there",))


def _by_metadata(path: Path) -> Judged:
    if json_object(path).get("commit_timestamp_nsecs", 0) is None:
        return Judged("incomplete", (f"{METADATA} says that it was begun, and not that it was committed",))
    return Judged("complete", ("it has its name, which Orbax gives it when it is whole",))


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return
