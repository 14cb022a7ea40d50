"""Observations that two episodes share though the actions differ, and the other way round.

They say less than whole frames: a robot is reset to one pose, a grid world has few states, actions may come from a
small set. So whatever chance or rest explains is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from ckptkit_data.pairs import Places, pairs_of
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import MOST_RUNS, Run, covered, different, identical, shared_runs

# Of the shorter episode: fewer values that are not in a row may be chance. Actions are often rounded, so more so.
SHARES: Mapping[str, float] = {"observations": 0.1, "actions": 0.2}
RARE = 3  # a value in more episodes than this is common: a resting pose, a button, a bound
_FAR_MORE = 10
_SURE = 20  # bits: a run is longer than chance explains in a million datasets


def alone(
    of: Literal["observations", "actions"],
    keys: Any,
    segments: Segments,
    places: Places,
    least: int,
    known: list[Run],
    *,
    videos: bool,
) -> Iterator[Run]:
    """Yield what two episodes share in one half of their frames, runs first, without what is already known.

    Args:
        of: which half.
        keys: its hashes, uint64 of shape (frames,).
        segments: the episodes.
        places: of the keys.
        least: how many different values count as contamination.
        known: what the two halves together share.
        videos: a part of the observations is in videos, which are not read.
    """
    by_pair: dict[tuple[int, int], list[Run]] = {}
    for run in known:
        by_pair.setdefault((run.segment, run.other_segment), []).append(run)
    told = {pair for pair, runs in by_pair.items() if any(run.of == "frames" for run in runs)}
    rows = [*identical(keys, segments), *shared_runs(keys, segments, least)[0]]
    rows = [run for run in rows if not covered(run, by_pair.get((run.segment, run.other_segment), ()))]
    for run in rows if of == "observations" else _beyond_chance(keys, rows):
        few = different(keys[run.start : run.start + run.length]) < least
        if few and of == "observations":
            continue  # short episodes in a world of few states
        told.add((run.segment, run.other_segment))
        # Controllers that switch between two actions do the same from many states.
        yield replace(run, of=of, severity="warning" if few else "error")
    for run in _scattered(segments, places, least, SHARES[of]):
        if (run.segment, run.other_segment) not in told:
            yield replace(run, of=of, severity="warning" if videos and of == "observations" else "error")


def _scattered(segments: Segments, places: Places, least: int, share: float) -> Iterator[Run]:
    """Yield pairs that share half of the shorter episode, or ``share`` of it and far more than pairs do on average."""
    import numpy as np

    pairs = pairs_of(places.rare(RARE))
    lengths = segments.stop - segments.start
    shorter = np.minimum(lengths[pairs.segment], lengths[pairs.other_segment])
    average = pairs.count.sum() / max(1, len(segments) * (len(segments) - 1) // 2)
    enough = (pairs.count >= share * shorter) & (pairs.count >= _FAR_MORE * average) | (pairs.count >= 0.5 * shorter)
    enough &= pairs.count >= least
    for segment, other_segment, count, start, other in pairs.only(enough).only(slice(MOST_RUNS)):
        yield Run(segment, other_segment, start, other, count, scattered=True)


def _beyond_chance(keys: Any, rows: list[Run]) -> Iterator[Run]:
    """Yield the runs that are too long for chance: two players of a game press the same few buttons in a row.

    Each change of the value counts as many bits as the new value is rare.
    """
    import numpy as np

    if not rows:
        return
    _, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    bits = np.log2(len(keys) / counts)
    enough = 2 * np.log2(len(keys)) + _SURE  # any two frames may be where a run starts
    for run in rows:
        values = which[run.start : run.start + run.length]
        changes: Any = np.append(True, values[1:] != values[:-1])
        if bits[values[changes]].sum() >= enough:
            yield run
