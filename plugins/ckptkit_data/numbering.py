"""Checks of numbers: those that identify frames (indices and timestamps), and whether all values are finite."""

from typing import Any

from ckptkit.formats.escaped import escaped
from ckptkit_data.episodes import Episode
from ckptkit_data.findings import Findings
from ckptkit_data.frames import Frames
from ckptkit_data.segments import Segments, first_per_segment

TOLERANCE_S = 1e-4  # as in lerobot


def unique_episodes(frames: Frames, segments: Segments, listed: list[Episode]) -> Findings:
    """Find episode indices that name more than one stretch of frames, or that the metadata list twice."""
    found = Findings()
    seen: dict[int, list[tuple[int, int]]] = {}
    for episode, start, stop in segments:
        seen.setdefault(episode, []).append((start, stop))
    for episode, places in seen.items():
        if len(places) > 1:
            where = ", ".join(f"{frames.place(a)} to {frames.row[b - 1]}" for a, b in places[:3])
            more = f" and {len(places) - 3} more" if len(places) > 3 else ""
            found.add(
                "data-episode-repeated",
                f"episode {episode} is there {len(places)} times: {where}{more}",
                file=frames.files[frames.file[places[1][0]]],
                episode=episode,
            )
    sources: dict[int, str] = {}
    for one in listed:
        if one.number in sources:
            found.add(
                "data-episode-repeated", f"episode {one.number} is listed twice", file=one.source, episode=one.number
            )
        sources[one.number] = one.source
    return found


def continuous_frames(frames: Frames, segments: Segments) -> Findings:
    """Find episodes whose ``frame_index`` is not 0, 1, 2, ... ; the finding names the first frame that is wrong."""
    import numpy as np

    found = Findings()
    if not len(frames):
        return found
    index = frames.frame_index
    before = np.empty_like(index)
    before[1:] = index[:-1]
    before[segments.start] = -1
    for number, position, count in first_per_segment(np.flatnonzero(index - before != 1), segments):
        offset = position - int(segments.start[number])
        episode, this = int(segments.episode[number]), int(index[position])
        what = (
            f"starts with frame {this}, not 0" if offset == 0 else f"goes from frame {before[position]} to frame {this}"
        )
        more = f" (and {count - 1} more jumps)" if count > 1 else ""
        found.add(
            "data-frame-jump",
            f"episode {episode} {what} at offset {offset}{more}",
            file=frames.files[frames.file[position]],
            episode=episode,
            frame=offset,
        )
    return found


def global_indices(frames: Frames, segments: Segments, *, whole: bool) -> Findings:
    """Find global indices that belong to two episodes, and jumps inside one.

    Args:
        frames: all frames.
        segments: their episodes.
        whole: every data file was read, so that a hole between episodes is real.
    """
    import numpy as np

    found = Findings()
    if not len(frames):
        return found
    index = frames.index
    steps = np.ones_like(index)
    steps[1:] = np.diff(index)
    steps[segments.start] = 1
    for number, position, count in first_per_segment(np.flatnonzero(steps != 1), segments):
        offset = position - int(segments.start[number])
        more = f" (and {count - 1} more jumps)" if count > 1 else ""
        found.add(
            "data-index-jump",
            f"episode {segments.episode[number]}: index goes from {index[position - 1]} to {index[position]} "
            f"at offset {offset}{more}",
            file=frames.files[frames.file[position]],
            episode=int(segments.episode[number]),
            frame=offset,
        )
    low, high = np.minimum.reduceat(index, segments.start), np.maximum.reduceat(index, segments.start)
    _overlaps(frames, segments, low, high, whole, found)
    return found


def _overlaps(frames: Frames, segments: Segments, low: Any, high: Any, whole: bool, found: Findings) -> None:
    import numpy as np

    reached, holder = -1, -1
    for number in np.argsort(low, kind="stable").tolist():
        this, first, last = int(segments.episode[number]), int(low[number]), int(high[number])
        if first <= reached:
            other = int(segments.episode[holder])
            shared = min(last, reached) - first + 1
            found.add(
                "data-index-overlap",
                f"episode {this} (index {first} to {last}) overlaps episode {other} (index {low[holder]} to "
                f"{high[holder]}) by {shared}",
                file=frames.files[frames.file[segments.start[number]]],
                episode=this,
                frame=0,
                length=shared,
                other_episode=other,
                other_frame=first - int(low[holder]),
            )
        elif first != reached + 1 and whole:
            found.add(
                "data-index-hole",
                f"no frame has an index from {reached + 1} to {first - 1}, before episode {this}",
                file=frames.files[frames.file[segments.start[number]]],
                severity="warning",
                episode=this,
                frame=0,
            )
        if last > reached:
            reached, holder = last, number


def timestamps(frames: Frames, segments: Segments, fps: float) -> Findings:
    """Find episodes whose timestamps are not ``frame_index / fps`` within 0.1 ms (and float32's own spacing)."""
    import numpy as np

    found = Findings()
    expected = frames.frame_index / fps
    # A float32 of a long episode is coarser than 0.1 ms.
    allowed = np.maximum(TOLERANCE_S, np.spacing(np.abs(expected).astype(np.float32)))
    off = ~(np.abs(frames.timestamp - expected) <= allowed)  # NaN counts as off
    for number, position, count in first_per_segment(np.flatnonzero(off), segments):
        offset = position - int(segments.start[number])
        found.add(
            "data-timestamp",
            f"episode {segments.episode[number]}: timestamp {frames.timestamp[position]:.6g} s at offset {offset}, "
            f"{expected[position]:.6g} s is frame {frames.frame_index[position]} at {fps:g} fps ({count} are off)",
            file=frames.files[frames.file[position]],
            episode=int(segments.episode[number]),
            frame=offset,
            length=count,
        )
    return found


def finite_values(frames: Frames, segments: Segments) -> Findings:
    """Find episodes with NaN or infinity in a column of observations or actions: one frame spoils a training."""
    found = Findings()
    for name, positions in frames.not_finite.items():
        for number, position, count in first_per_segment(positions, segments):
            episode, offset = int(segments.episode[number]), position - int(segments.start[number])
            others = f" (and {count - 1} more frame{'s' if count > 2 else ''})" if count > 1 else ""
            found.add(
                "data-not-finite",
                f"episode {episode}: {escaped(name)!r} is NaN or infinite at offset {offset}{others}",
                file=frames.files[frames.file[position]],
                episode=episode,
                frame=offset,
                length=count,
            )
    return found
