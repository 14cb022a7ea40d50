"""Checks of content: duplicate observations and actions, and frames that one episode took from another."""

from collections.abc import Mapping
from typing import Any

from ckptkit.problem import Severity
from ckptkit_data.alone import alone
from ckptkit_data.findings import Findings
from ckptkit_data.frames import Frames
from ckptkit_data.pairs import Places, pairs_of
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import MOST_RUNS, Run, identical, shared_runs

NOTABLE = 0.1  # a share of repeated frames that is worth a warning


def duplicates(places: Mapping[str, Places], limit: float | None) -> tuple[Findings, dict[str, float]]:
    """Measure which shares of observations, actions and whole frames are repeated.

    Single equal frames are not an error in themselves: robots stand still, grid worlds have few states, actions may be
    discrete. More than one frame in ten found in more than one episode is a warning.

    Args:
        places: of ``observations``, ``actions`` and ``frames``, those that there are.
        limit: the share of frames found in more than one episode from which it is an error; None for never.

    Returns:
        Findings and shares, as fractions of 1.
    """
    found, measures = Findings(), dict[str, float]()
    for name, held in places.items():
        measures[f"repeated_{name}"], measures[f"{name}_in_more_than_one_episode"] = held.repeated, held.spread
    shared = measures.get("frames_in_more_than_one_episode", 0.0)
    message = f"{shared:.2%} of the frames are found in more than one episode"
    if limit is not None and shared > limit:
        found.add("data-duplicate-frames", f"{message}; at most {limit:.2%} are allowed")
    elif shared > NOTABLE:
        found.add("data-duplicate-frames", message, severity="warning")
    return found, measures


def contamination(
    frames: Frames, segments: Segments, places: Mapping[str, Places], least: int
) -> tuple[Findings, list[Run]]:
    """Find identical episodes, and frames, observations and actions that two episodes share.

    Args:
        frames: all frames.
        segments: their episodes.
        places: of ``observations``, ``actions`` and ``frames``, those that there are.
        least: how many different frames count as contamination.

    Returns:
        The findings, and the runs behind them.
    """
    found, runs = Findings(), list[Run]()
    if frames.observation is None:
        found.add(
            "data-no-observations",
            "no observation is in the parquet files; videos are not compared",
            severity="warning",
        )
    else:
        runs += _whole_frames(frames, segments, places["frames"], least, found)
    if frames.observation is not None and frames.action is not None:
        keys, held = frames.observation, places["observations"]
        news = [*alone("observations", keys, segments, held, least, runs, videos=frames.videos)]
        for run in news:
            what = "repeats, with other actions, the observations of"
            report(found, "data-shared-observations", frames, segments, run, what)
        runs += news
    if frames.action is not None:
        news = [*alone("actions", frames.action, segments, places["actions"], least, runs, videos=frames.videos)]
        for run in news:
            report(found, "data-shared-actions", frames, segments, run, "repeats the actions of")
        runs += news
    return found, runs


def _whole_frames(frames: Frames, segments: Segments, places: Places, least: int, found: Findings) -> list[Run]:
    keys = frames.key
    whole = identical(keys, segments)
    for run in whole:
        report(found, "data-duplicate-episode", frames, segments, run, "has the same frames as")
    parts, unseen = shared_runs(keys, segments, least)
    rest = _without(places, [*whole, *parts], len(keys))
    # Where a part of the observation is in videos, which are not read, frames that look equal may not be.
    severity: Severity = "warning" if frames.videos else "error"
    pairs = pairs_of(rest)
    full = pairs.only(pairs.count >= least)
    parts += [
        Run(segment, other_segment, start, other, count, scattered=True, severity=severity)
        for segment, other_segment, count, start, other in full.only(slice(MOST_RUNS))
    ]
    for run in parts:
        report(found, "data-shared-frames", frames, segments, run, "shares frames with")
    if unseen := unseen + max(0, len(full) - MOST_RUNS):
        found.add("data-shared-frames", f"{unseen} more stretches of shared frames were not followed")
    return [*whole, *parts]


def _without(places: Places, runs: list[Run], count: int) -> Places:
    """Return the places without those that a run has already reported; what it was copied from stays."""
    import numpy as np

    told: Any = np.zeros(count, bool)
    for run in runs:
        told[run.start : run.start + run.length] = True
    return places.only(~told[places.position])


def report(found: Findings, code: str, frames: Frames, segments: Segments, run: Run, what: str) -> None:
    """Add the finding for a run."""
    frame, other_frame = (
        run.start - int(segments.start[run.segment]),
        run.other - int(segments.start[run.other_segment]),
    )
    episode, other = int(segments.episode[run.segment]), int(segments.episode[run.other_segment])
    message = f"episode {episode} {what} episode {other}"
    if run.whole:
        message += f" (all {run.length})"
    elif run.scattered:
        message += f": {run.length} that are not in a row; the first, frame {frame}, is frame {other_frame} there"
    else:
        message += f": {run.length} from frame {frame} on are those from frame {other_frame} on"
    found.add(
        code,
        message,
        severity=run.severity,
        file=frames.files[frames.file[run.start]],
        episode=episode,
        frame=frame,
        length=run.length,
        other_episode=other,
        other_frame=other_frame,
    )
