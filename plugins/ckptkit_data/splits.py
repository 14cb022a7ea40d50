"""Checks of the splits in `meta/info.json`: every episode in only one split, and no frame in two."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.formats.escaped import escaped
from ckptkit.problem import Severity
from ckptkit_data.findings import Findings
from ckptkit_data.layout import INFO, Info
from ckptkit_data.pairs import Pairs, Places, pairs_of
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import MOST_RUNS, Run


def ranges(splits: Mapping[str, Any], episodes: int, found: Findings) -> dict[str, range]:
    """Return the episodes of each split; text that is not a range, or episodes that do not exist, are findings."""
    result = {}
    for name, text in splits.items():
        match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", text) if isinstance(text, str) else None
        if match is None or int(match[1]) > int(match[2]):
            found.add("data-split", f"split {escaped(name)!r} is {escaped(repr(text), 60)}, not start:stop", file=INFO)
            continue
        result[name] = range(int(match[1]), int(match[2]))
        if int(match[2]) > episodes:
            found.add("data-split", f"split {escaped(name)!r} is {text}; there are {episodes} episodes", file=INFO)
    return result


def split_leaks(
    info: Info,
    segments: Segments,
    places: Mapping[str, Places],
    runs: list[Run],
    allowed: int,
    *,
    videos: bool,
) -> tuple[Findings, dict[str, int]]:
    """Find episodes in two splits, and frames that are in two splits.

    Args:
        info: `meta/info.json`.
        segments: the episodes of the data.
        places: of ``observations``, ``actions`` and ``frames``, those that there are.
        runs: what two episodes share, as found by the check of contamination.
        allowed: how many different frames may be in two splits.
        videos: a part of the observations is in videos, which are not read.

    Returns:
        Findings, and how many different observations, actions and frames are in more than one split.
    """
    found = Findings()
    parts = list(ranges(info.splits, info.total_episodes, found).items())
    _overlaps(parts, found)
    split = _split_of(parts, segments)
    in_two = {f"{name}_in_two_splits": _in_two(held, split) for name, held in places.items()}
    leak = _Leaks([name for name, _ in parts], split, segments, found)
    if in_two.get("frames_in_two_splits", 0) > allowed:
        held = places["frames"]
        pairs = pairs_of(held.only(split[held.segment] >= 0))  # or episodes of no split would stand between two
        told = {(run.segment, run.other_segment) for run in runs if run.of == "frames" and run.severity == "error"}
        for segment, other_segment, count, start, other in pairs.only(leak.crossing(pairs)).only(slice(MOST_RUNS)):
            sure = not videos or (segment, other_segment) in told
            severity: Severity = "error" if sure else "warning"
            leak.tell(Run(segment, other_segment, start, other, count, scattered=True, severity=severity))
    for run in runs:
        if run.severity == "error":
            leak.tell(run)
    return found, in_two


def _overlaps(parts: Sequence[tuple[str, range]], found: Findings) -> None:
    for number, (name, one) in enumerate(parts):
        for other_name, other in parts[:number]:
            first, last = max(one.start, other.start), min(one.stop, other.stop) - 1
            if first <= last:
                which = f"episode {first} is" if first == last else f"episodes {first} to {last} are"
                both = f"{escaped(other_name)!r} and in {escaped(name)!r}"
                found.add("data-split-overlap", f"{which} in {both}", file=INFO, episode=first, length=last - first + 1)


def _split_of(parts: Sequence[tuple[str, range]], segments: Segments) -> Any:
    """Return the number of the split of each episode, -1 for none; int64 of shape (segments,)."""
    import numpy as np

    split: Any = np.full(len(segments), -1)
    for number, (_, episodes) in reversed(list(enumerate(parts))):  # an episode in two splits is told, and in the first
        split[(segments.episode >= episodes.start) & (segments.episode < episodes.stop)] = number
    return split


def _in_two(places: Places, split: Any) -> int:
    """Return how many values are in more than one split."""
    import numpy as np

    of = split[places.segment]
    value, of = places.value[of >= 0], of[of >= 0]
    if not len(value):
        return 0
    first = np.flatnonzero(np.append(True, value[1:] != value[:-1]))
    return int((np.minimum.reduceat(of, first) != np.maximum.reduceat(of, first)).sum())


@dataclass(slots=True)
class _Leaks:
    """Tells each pair of episodes of different splits once."""

    names: Sequence[str]
    split: Any
    segments: Segments
    found: Findings
    told: set[tuple[int, int]] = field(default_factory=set)

    def crossing(self, pairs: Pairs) -> Any:
        """Return which pairs are of different splits, bool of shape (pairs,)."""
        one, other = self.split[pairs.segment], self.split[pairs.other_segment]
        return (one != other) & (one >= 0) & (other >= 0)

    def tell(self, run: Run) -> None:
        late, early = int(self.split[run.segment]), int(self.split[run.other_segment])
        if late == early or min(late, early) < 0 or (run.segment, run.other_segment) in self.told:
            return
        if run.severity == "error":
            self.told.add((run.segment, run.other_segment))
        first, second = sorted((early, late))
        episode, other = int(self.segments.episode[run.segment]), int(self.segments.episode[run.other_segment])
        what = run.of.removesuffix("s") if run.length == 1 else run.of
        names = f"{escaped(self.names[first])!r} and {escaped(self.names[second])!r}"
        unseen = ", as far as can be seen without the videos" if run.severity == "warning" else ""
        self.found.add(
            "data-split-leak",
            f"{names} share {run.length} {what}: episode {other} and episode {episode}{unseen}",
            severity=run.severity,
            file=INFO,
            episode=episode,
            frame=run.start - int(self.segments.start[run.segment]),
            length=run.length,
            other_episode=other,
            other_frame=run.other - int(self.segments.start[run.other_segment]),
        )
