"""Checks of the splits in `meta/info.json`: every episode in one split only, and no content in two."""

import re
from collections.abc import Mapping
from typing import Any

from ckptkit.formats.shown import shown
from ckptkit_data.findings import Findings
from ckptkit_data.layout import INFO
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import Run


def ranges(splits: Mapping[str, Any], episodes: int, found: Findings) -> dict[str, range]:
    """Return the episodes of each split; text that is no range, or episodes that are not there, are findings."""
    result = {}
    for name, text in splits.items():
        match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", text) if isinstance(text, str) else None
        if match is None or int(match[1]) > int(match[2]):
            found.add("data-split", f"split {shown(name)!r} is {shown(repr(text), 60)}, not start:stop", file=INFO)
            continue
        result[name] = range(int(match[1]), int(match[2]))
        if int(match[2]) > episodes:
            found.add("data-split", f"split {shown(name)!r} is {text}; there are {episodes} episodes", file=INFO)
    return result


def split_leaks(splits: Mapping[str, Any], episodes: int, segments: Segments, runs: list[Run]) -> Findings:
    """Find episodes in two splits, and episodes that share frames with an episode of another split.

    Args:
        splits: as in `meta/info.json`.
        episodes: how many there are.
        segments: the episodes of the data.
        runs: shared frames, as found by the check of contamination.
    """
    found = Findings()
    parts = list(ranges(splits, episodes, found).items())
    for number, (name, one) in enumerate(parts):
        for other_name, other in parts[:number]:
            first, last = max(one.start, other.start), min(one.stop, other.stop) - 1
            if first <= last:
                which = f"episode {first} is" if first == last else f"episodes {first} to {last} are"
                both = f"{shown(other_name)!r} and in {shown(name)!r}"
                found.add("data-split-overlap", f"{which} in {both}", file=INFO, episode=first, length=last - first + 1)
    for run in runs:
        late, early = int(segments.episode[run.segment]), int(segments.episode[run.other_segment])
        late_in = {name for name, part in parts if late in part}
        early_in = {name for name, part in parts if early in part}
        if late_in and early_in and late_in.isdisjoint(early_in):
            names = f"{shown(min(early_in))!r} and {shown(min(late_in))!r}"
            found.add(
                "data-split-leak",
                f"{run.length} frames are in {names}: episode {early} and episode {late}",
                file=INFO,
                episode=late,
                frame=run.start - int(segments.start[run.segment]),
                length=run.length,
                other_episode=early,
                other_frame=run.other - int(segments.start[run.other_segment]),
            )
    return found
