"""Finds episodes that are near copies: runs of frames that differ by no more than a tolerance in every number.

Frames whose sketches (four projections) fall into the same cell of a coarse grid are candidates; three shifted grids
make sure that hardly any pair is missed. A candidate names a diagonal (two episodes and the offset between them), which
is compared frame by frame: first the sketches, then the numbers themselves, read again from the files.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ckptkit_data.frames import PROJECTIONS, Frames
from ckptkit_data.hashing import matrix, mixed
from ckptkit_data.layout import inside
from ckptkit_data.segments import Segments
from ckptkit_data.sharing import Run

MOST_DIAGONALS = 20_000
_COARSE = 16  # a cell is 16 tolerances wide: two near frames are cut apart at most once in 16 per projection
_NEIGHBOURS = 3
_MOTION = 100  # a run must move by this many tolerances: what comes to rest at one place is near everywhere


def near_runs(
    root: Path, names: list[str], frames: Frames, segments: Segments, tolerance: float, least: int
) -> tuple[list[Run], int]:
    """Return runs of at least ``least`` frames that are near, and move by more than 100 tolerances.

    Args:
        root: the dataset.
        names: columns of observations and actions that are compared (those that hold numbers).
        frames: all frames, with sketches.
        segments: their episodes.
        tolerance: largest difference, in the units of the data.
        least: frames that make a run.

    Returns:
        The runs, longest first, and how many diagonals were not compared because there are more than 20,000.
    """
    diagonals: Counter[tuple[int, int, int]] = Counter()
    for shift in range(3):
        diagonals.update(_candidates(frames.sketch, segments, tolerance, shift / 3))
    read = lru_cache(maxsize=64)(lambda number: _values(root, names, frames, segments, number))
    runs = []
    for (late, early, offset), _ in diagonals.most_common(MOST_DIAGONALS):
        first, second = int(segments.start[late]), int(segments.start[early])
        a, b = max(0, offset), max(0, -offset)
        length = min(int(segments.stop[late]) - first - a, int(segments.stop[early]) - second - b)
        if length < least:
            continue
        apart = abs(frames.sketch[first + a : first + a + length] - frames.sketch[second + b : second + b + length])
        if not any(_stretches((apart <= tolerance * (1 + 1e-9)).all(axis=1), least)):
            continue
        one, two = read(late)[a : a + length], read(early)[b : b + length]
        near = (abs(one - two) <= tolerance).all(axis=1)
        for start, stop in _stretches(near, least):
            if _moves(one[start:stop], tolerance * _MOTION):
                whole = stop - start == len(read(late)) == len(read(early))
                runs.append(Run(late, early, first + a + start, second + b + start, stop - start, whole=whole))
    runs.sort(key=lambda r: (-r.length, r.start))
    return runs, max(0, len(diagonals) - MOST_DIAGONALS)


def _candidates(sketch: Any, segments: Segments, tolerance: float, shift: float) -> Counter[tuple[int, int, int]]:
    import numpy as np

    cells = np.floor(sketch / (_COARSE * tolerance) + shift)
    key: Any = np.zeros(len(sketch), np.uint64)
    for column in range(PROJECTIONS):
        key = mixed(key, cells[:, column].view(np.uint64))
    order = np.lexsort((sketch[:, 0], key))
    found: Counter[tuple[int, int, int]] = Counter()
    for lag in range(1, _NEIGHBOURS + 1):
        one, two = order[lag:], order[:-lag]
        same = (key[one] == key[two]) & (segments.of[one] != segments.of[two])
        one, two = one[same], two[same]
        close = (abs(sketch[one] - sketch[two]) <= tolerance * (1 + 1e-9)).all(axis=1)
        one, two = one[close], two[close]
        late, early = np.maximum(one, two), np.minimum(one, two)
        s, t = segments.of[late], segments.of[early]
        offset = (late - segments.start[s]) - (early - segments.start[t])
        pairs, counts = np.unique(np.stack([s, t, offset], axis=1), axis=0, return_counts=True)
        found.update(
            {(int(a), int(b), int(c)): n for (a, b, c), n in zip(pairs.tolist(), counts.tolist(), strict=True)}
        )
    return found


def _stretches(near: Any, least: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of each stretch of at least ``least`` true values."""
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]])))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - start >= least:
            yield start, stop


def _moves(values: Any, least: float) -> bool:
    return bool((values.max(axis=0) - values.min(axis=0)).max() > least)


def _values(root: Path, names: list[str], frames: Frames, segments: Segments, number: int) -> Any:
    """Return the numbers of one episode, float64 of shape (frames, values), read again from its file."""
    import numpy as np
    import pyarrow.parquet as pq

    first, count = int(segments.start[number]), int(segments.stop[number] - segments.start[number])
    row = int(frames.row[first])
    with pq.ParquetFile(inside(root, frames.files[frames.file[first]])) as source:
        groups, skip, passed = list[int](), 0, 0
        for index in range(source.metadata.num_row_groups):
            rows = source.metadata.row_group(index).num_rows
            if passed + rows > row and passed < row + count:
                skip = skip if groups else row - passed
                groups.append(index)
            passed += rows
        table = source.read_row_groups(groups, columns=names, use_threads=False).slice(skip, count)
    matrices = [matrix(table.column(name).combine_chunks()) for name in names]
    return np.concatenate([m.astype(np.float64) for m in matrices if m is not None], axis=1)
