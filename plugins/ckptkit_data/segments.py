"""Episodes as the data have them: stretches of consecutive rows of one file with one ``episode_index``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ckptkit_data.frames import Frames


@dataclass(frozen=True, slots=True)
class Segments:
    """Stretches of frames; every array has shape (segments,) and is int64.

    Attributes:
        start: position of the first frame.
        stop: position just after the last frame.
        episode: the ``episode_index`` that its frames carry.
        of: for each frame the number of its segment, int64 of shape (frames,).
    """

    start: Any
    stop: Any
    episode: Any
    of: Any

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield (episode, start, stop) of each."""
        yield from zip(self.episode.tolist(), self.start.tolist(), self.stop.tolist(), strict=True)


def segments_of(frames: Frames) -> Segments:
    """Cut the frames into episodes: at a new file, a new ``episode_index``, or where frames are counted from 0 again.

    A single wrong 0 in ``frame_index`` does not begin an episode: the next frame would have to be 1.
    """
    import numpy as np

    count = len(frames)
    new: Any = np.ones(count, bool)
    if count:
        changed = (np.diff(frames.episode_index) != 0) | (np.diff(frames.file) != 0)
        goes_on: Any = np.ones(count, bool)
        goes_on[:-1] = (frames.frame_index[1:] == 1) | changed
        restarts = (frames.frame_index == 0) & goes_on
        restarts[-1] = False  # one frame is not enough to tell
        new[1:] = changed | restarts[1:]
    start = np.flatnonzero(new)
    stop = np.append(start[1:], count) if count else start
    return Segments(start, stop, frames.episode_index[start], np.cumsum(new) - 1)


def first_per_segment(positions: Any, segments: Segments) -> Iterator[tuple[int, int, int]]:
    """Yield (segment, first of the positions in it, how many there are); ``positions`` are sorted."""
    import numpy as np

    numbers, first, counts = np.unique(segments.of[positions], return_index=True, return_counts=True)
    yield from zip(numbers.tolist(), positions[first].tolist(), counts.tolist(), strict=True)
