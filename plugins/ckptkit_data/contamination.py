"""Checks of content: duplicate observations and actions, and frames that one episode took over from another."""

from ckptkit.problem import Severity
from ckptkit_data.findings import Findings
from ckptkit_data.frames import Frames
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import Run, covered, identical, repeats, shared_runs

NOTABLE = 0.1  # a share of repeated frames that is worth a warning


def duplicates(frames: Frames, segments: Segments, limit: float | None) -> tuple[Findings, dict[str, float]]:
    """Measure which shares of observations, actions and whole frames are repeated.

    Single equal frames are no error by themselves: robots stand still, grid worlds have few states, actions may be
    discrete. More than one frame in ten found in more than one episode is a warning.

    Args:
        frames: all frames.
        segments: their episodes.
        limit: share of frames found in more than one episode from which on it is an error; None for never.

    Returns:
        Findings and shares, as fractions of 1.
    """
    found, measures = Findings(), dict[str, float]()
    for name, keys in (("observations", frames.observation), ("actions", frames.action), ("frames", frames.key)):
        if keys is not None and (name != "frames" or frames.action is not None):
            measures[f"repeated_{name}"], measures[f"{name}_in_more_than_one_episode"] = repeats(keys, segments)
    shared = measures.get("frames_in_more_than_one_episode", measures.get("observations_in_more_than_one_episode", 0.0))
    message = f"{shared:.2%} of the frames are found in more than one episode"
    if limit is not None and shared > limit:
        found.add("data-duplicate-frames", f"{message}; at most {limit:.2%} are allowed")
    elif shared > NOTABLE:
        found.add("data-duplicate-frames", message, severity="warning")
    return found, measures


def contamination(frames: Frames, segments: Segments, least: int) -> tuple[Findings, list[Run]]:
    """Find identical episodes and runs of frames shared between episodes; the runs are returned too."""
    found = Findings()
    if frames.observation is None:
        found.add(
            "data-no-observations",
            "no observation is in the parquet files; videos are not compared",
            severity="warning",
        )
        return found, []
    keys = frames.key
    whole = identical(keys, segments)
    for run in whole:
        report(found, "data-duplicate-episode", frames, segments, run, "has the same frames as")
    parts, unseen = shared_runs(keys, segments, least)
    for run in parts:
        report(found, "data-shared-frames", frames, segments, run, "shares frames with")
    runs = [*whole, *parts]
    if frames.action is not None:
        runs += _observations_only(frames, segments, least, runs, found)
    if unseen:
        found.add("data-shared-frames", f"{unseen} more stretches of shared frames were not followed")
    return found, runs


def _observations_only(frames: Frames, segments: Segments, least: int, known: list[Run], found: Findings) -> list[Run]:
    keys = frames.observation
    copied, _ = shared_runs(keys, segments, least)
    by_pair: dict[tuple[int, int], list[Run]] = {}
    for run in known:
        by_pair.setdefault((run.segment, run.other_segment), []).append(run)
    candidates = [*identical(keys, segments), *copied]
    news = [r for r in candidates if not covered(r, by_pair.get((r.segment, r.other_segment), ()))]
    for run in news:
        what = "repeats, with other actions, the observations of"
        report(found, "data-shared-observations", frames, segments, run, what)
    return news


def report(
    found: Findings,
    code: str,
    frames: Frames,
    segments: Segments,
    run: Run,
    what: str,
    *,
    severity: Severity = "error",
) -> None:
    """Add the finding for a run."""
    frame, other_frame = (
        run.start - int(segments.start[run.segment]),
        run.other - int(segments.start[run.other_segment]),
    )
    episode, other = int(segments.episode[run.segment]), int(segments.episode[run.other_segment])
    if run.whole:
        message = f"episode {episode} {what} episode {other} (all {run.length})"
    else:
        message = (
            f"episode {episode} {what} episode {other}: {run.length} from frame {frame} on are those from frame "
            f"{other_frame} on"
        )
    found.add(
        code,
        message,
        severity=severity,
        file=frames.files[frames.file[run.start]],
        episode=episode,
        frame=frame,
        length=run.length,
        other_episode=other,
        other_frame=other_frame,
    )
