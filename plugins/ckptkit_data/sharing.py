"""Finds runs of frames that two episodes share, from one hash per frame, in time and memory linear in the frames.

Every window of ``least`` frames is hashed; a window that was there before, in another episode, is linked to the
first place where it was. Links that advance together are a run, which is then extended in both directions.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit.problem import Severity
from ckptkit_data.hashing import mixed
from ckptkit_data.segments import Segments

MOST_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """Frames ``start`` to ``start + length`` (positions) are those from ``other`` on, in another, earlier segment.

    Attributes:
        segment: number of the segment that holds ``start``.
        other_segment: number of the segment that holds ``other``.
        start: position of the first frame.
        other: position of the frame equal to it.
        length: frames; if they are scattered, how many different ones, and ``start`` is the first of them.
        whole: the run is all of both segments.
        scattered: the frames are not in a row, or in another order.
        of: what is shared, as a plural.
        severity: how bad that is.
    """

    segment: int
    other_segment: int
    start: int
    other: int
    length: int
    whole: bool = False
    scattered: bool = False
    of: str = "frames"
    severity: Severity = "error"


def identical(keys: Any, segments: Segments) -> list[Run]:
    """Return segments whose frames are all those of an earlier segment, of any length."""
    first: dict[bytes, int] = {}
    runs = []
    for number, (_, start, stop) in enumerate(segments):
        digest = hashlib.blake2b(keys[start:stop].tobytes(), digest_size=16).digest()
        earlier = first.setdefault(digest, number)
        if earlier != number:
            runs.append(Run(number, earlier, start, int(segments.start[earlier]), stop - start, whole=True))
    return runs


def shared_runs(keys: Any, segments: Segments, least: int) -> tuple[list[Run], int]:
    """Return runs of at least ``least`` different frames that an earlier episode has too, the longest first.

    A robot that stands still repeats itself: equal frames within a run count once.

    Args:
        keys: uint64 hashes of shape (frames,).
        segments: the episodes.
        least: how many different frames make a run.

    Returns:
        Runs of parts of episodes (whole episodes are left to :func:`identical`), and how many more stretches were not
        followed because there are more than 10,000.
    """
    linked, target = _links(keys, segments, least)
    starts, lengths = _stretches(linked, target, segments)
    order = lengths.argsort(kind="stable")[::-1][:MOST_RUNS]
    seen: set[tuple[int, int]] = set()
    runs = []
    for which in order.tolist():
        run = _extended(keys, segments, int(linked[starts[which]]), int(target[starts[which]]))
        if (run.start, run.other) in seen or run.whole:
            continue
        seen.add((run.start, run.other))
        if different(keys[run.start : run.start + run.length]) >= least:
            runs.append(run)
    runs.sort(key=lambda r: (-r.length, r.start))
    return runs, max(0, len(starts) - MOST_RUNS)


def _links(keys: Any, segments: Segments, least: int) -> tuple[Any, Any]:
    """Return positions whose window was there before in another segment, and the first place of each."""
    import numpy as np

    count = len(keys) - least + 1
    if count <= 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    positions = np.flatnonzero(segments.of[:count] == segments.of[least - 1 :])  # windows within one segment
    windows = keys[positions]
    for step in range(1, least):
        windows = mixed(windows, keys[positions + step])
    order = np.argsort(windows, kind="stable")  # equal windows stay in order of position
    ordered = windows[order]
    new: Any = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    first = np.empty_like(order)
    first[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(ordered)), 0))]
    target = positions[first]
    other = segments.of[target] != segments.of[positions]
    return positions[other], target[other]


def _stretches(linked: Any, target: Any, segments: Segments) -> tuple[Any, Any]:
    """Return where links that advance together start, and how many there are."""
    import numpy as np

    if not len(linked):
        return linked, linked
    of = segments.of
    goes_on = (np.diff(linked) == 1) & (np.diff(target) == 1)
    goes_on &= (of[linked[1:]] == of[linked[:-1]]) & (of[target[1:]] == of[target[:-1]])
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    return starts, np.diff(np.append(starts, len(linked)))


def _extended(keys: Any, segments: Segments, start: int, other: int) -> Run:
    one, two = int(segments.of[start]), int(segments.of[other])
    first, second = int(segments.start[one]), int(segments.start[two])
    room = min(start - first, other - second)
    back = _equal_ahead(keys[start - room : start][::-1], keys[other - room : other][::-1])
    start, other = start - back, other - back
    room = min(int(segments.stop[one]) - start, int(segments.stop[two]) - other)
    length = _equal_ahead(keys[start : start + room], keys[other : other + room])
    whole = (start, other) == (first, second) and length == segments.stop[one] - first == segments.stop[two] - second
    return Run(one, two, start, other, length, whole=bool(whole))


def _equal_ahead(one: Any, two: Any) -> int:
    """Return how many numbers are equal from the start on."""
    unequal = one != two
    return int(unequal.argmax()) if unequal.any() else len(one)


def different(keys: Any) -> int:
    """Return how many different values there are."""
    import numpy as np

    return len(np.unique(keys))


def shorter(run: Run, segments: Segments) -> int:
    """Return the length of the shorter of the two episodes, in frames."""
    lengths = segments.stop - segments.start
    return int(min(lengths[run.segment], lengths[run.other_segment]))


def overlapping(run: Run, others: Sequence[Run]) -> bool:
    """Return whether one of the others compares the same two episodes at the same offset, and shares frames with it."""
    return any(
        _diagonal(run) == _diagonal(o) and run.start < o.start + o.length and o.start < run.start + run.length
        for o in others
    )


def covered(run: Run, others: Sequence[Run]) -> bool:
    """Return whether one of the others compares the same two episodes at the same offset, over all frames of it."""
    return any(
        _diagonal(run) == _diagonal(o) and o.start <= run.start and run.start + run.length <= o.start + o.length
        for o in others
    )


def _diagonal(run: Run) -> tuple[int, int, int]:
    return run.segment, run.other_segment, run.start - run.other
