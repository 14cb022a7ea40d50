"""Checks that the metadata match the data: counts, lengths, files, positions."""

from collections import Counter

from ckptkit_data.episodes import Episode
from ckptkit_data.findings import Findings
from ckptkit_data.frames import Frames
from ckptkit_data.layout import INFO, Info
from ckptkit_data.segments import Segments


def agreement(info: Info, listed: list[Episode], frames: Frames, segments: Segments, unread: set[str]) -> Findings:
    """Compare the metadata with the data.

    Args:
        info: `meta/info.json`.
        listed: the episodes of the metadata.
        frames: the data.
        segments: the episodes of the data.
        unread: data files that could not be read: what they should hold is not reported as missing, too.
    """
    found = Findings()
    _totals(info, listed, frames, unread, found)
    lengths: Counter[int] = Counter()
    for episode, start, stop in segments:
        lengths[episode] += stop - start
    for one in listed:
        if one.file not in unread and lengths[one.number] != one.length:
            found.add(
                "data-length",
                f"episode {one.number} has {lengths[one.number]} frames in the data, {one.length} in the metadata",
                file=one.source,
                episode=one.number,
            )
    known = {one.number: one for one in listed}
    for episode in sorted(set(lengths) - set(known)) if listed else ():
        found.add("data-unlisted-episode", f"episode {episode} is in the data, not in the metadata", episode=episode)
    _positions(frames, segments, known, found)
    return found


def _totals(info: Info, listed: list[Episode], frames: Frames, unread: set[str], found: Findings) -> None:
    numbers = {one.number for one in listed}
    if listed and numbers != set(range(info.total_episodes)):
        found.add(
            "data-total",
            f"total_episodes is {info.total_episodes}; the metadata list {len(numbers)} episodes"
            + (f", up to episode {max(numbers)}" if max(numbers) >= info.total_episodes else ""),
            file=INFO,
        )
    if not unread and info.total_frames != len(frames):
        found.add("data-total", f"total_frames is {info.total_frames}; the data hold {len(frames)}", file=INFO)


def _positions(frames: Frames, segments: Segments, known: dict[int, Episode], found: Findings) -> None:
    for episode, start, stop in segments:
        one = known.get(episode)
        if one is None:
            continue
        file = frames.files[frames.file[start]]
        if file != one.file:
            found.add("data-misplaced", f"episode {episode} should be in {one.file}", file=file, episode=episode)
        first, behind = int(frames.index[start]), int(frames.index[stop - 1]) + 1
        if one.start is not None and (first, behind) != (one.start, one.stop):
            found.add(
                "data-position",
                f"episode {episode} has index {first} to {behind - 1}; dataset_from_index and dataset_to_index say "
                f"{one.start} and {one.stop}",
                file=one.source,
                episode=episode,
            )
