"""Reads the frames of a dataset once, in small batches, and keeps about 60 bytes of each: numbers and hashes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError, UnsafeContentError
from ckptkit_data.columns import Wanted, wanted_columns
from ckptkit_data.episodes import first_line
from ckptkit_data.findings import Findings
from ckptkit_data.hashing import matrix, mixed, of_column
from ckptkit_data.layout import Info, inside

_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 1 << 16
_NUMBERS = ("episode_index", "frame_index", "index")
PROJECTIONS = 4


@dataclass(slots=True)
class Frames:
    """All frames in the order of the files; every array has shape (frames,).

    Attributes:
        files: relative paths of the files that were read.
        file: number of the file of each frame, int32.
        row: row within its file, int64.
        episode_index: int64, as in the data.
        frame_index: int64.
        index: int64.
        timestamp: float64, seconds.
        observation: uint64 hash of all observation columns, or None when there are none in the parquet files.
        action: uint64 hash of all action columns, or None.
        sketch: float64 of shape (frames, 4): projections of observations and actions for the near search, or None.
        not_finite: column -> positions of the frames where it is NaN or infinite, int64, for columns that have any.
        videos: a part of the observations is in videos, which are not read.
    """

    files: list[str]
    file: Any
    row: Any
    episode_index: Any
    frame_index: Any
    index: Any
    timestamp: Any
    observation: Any = None
    action: Any = None
    sketch: Any = None
    not_finite: Mapping[str, Any] = field(default_factory=dict)
    videos: bool = False

    @property
    def key(self) -> Any:
        """uint64 hash of observation and action together, or None without observations."""
        if self.observation is None or self.action is None:
            return self.observation
        return mixed(self.observation, self.action)

    def __len__(self) -> int:
        return len(self.episode_index)

    def place(self, position: int) -> str:
        """Return ``file:row`` of a frame, for people."""
        return f"{self.files[self.file[position]]} row {self.row[position]}"


@dataclass(slots=True)
class _Parts:
    """Pieces of the arrays of :class:`Frames`, in reading order."""

    numbers: dict[str, list[Any]] = field(default_factory=dict)
    not_finite: dict[str, list[Any]] = field(default_factory=dict)
    count: int = 0

    def add(self, **pieces: Any) -> None:
        for name, piece in pieces.items():
            self.numbers.setdefault(name, []).append(piece)

    def joined(self, name: str, kind: str) -> Any:
        import numpy as np

        pieces = self.numbers.pop(name, None)
        return np.concatenate(pieces) if pieces else np.empty(0, kind)


def read_frames(
    root: Path,
    info: Info,
    files: Sequence[str],
    found: Findings,
    *,
    near: bool = False,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Frames:
    """Read the files in order; those that cannot be read whole are findings, and none of their frames are kept.

    Args:
        root: the dataset.
        info: its `meta/info.json`.
        files: relative paths.
        found: takes what is wrong with the files.
        near: also keep the sketches.
        on_bytes: called with the number of bytes read.
    """
    import pyarrow as pa

    wanted = wanted_columns(info)
    parts, read = _Parts(), list[str]()
    for file in files:
        try:
            batches = list(_file(root, file, wanted, found, near=near, on_bytes=on_bytes))
        except UnsafeContentError as error:
            found.add("data-path-unsafe", error.message, file=file, severity="unsafe")
            continue
        except FileNotFoundError:
            found.add("data-file-missing", "is not there", file=file)
            continue
        except DamagedError as error:
            found.add("data-column", error.message, file=file)
            continue
        except (OSError, MemoryError, pa.ArrowException) as error:
            found.add("data-file-damaged", f"cannot be read: {first_line(error)}", file=file)
            continue
        _keep(parts, batches, len(read))
        read.append(file)
    return _frames(parts, read, wanted)


def _keep(parts: _Parts, batches: list[dict[str, Any]], number: int) -> None:
    import numpy as np

    row = 0
    for batch in batches:
        count = len(batch["index"])
        for name, rows in batch.pop("not_finite").items():
            parts.not_finite.setdefault(name, []).append(parts.count + rows)
        parts.count += count
        parts.add(file=np.full(count, number, np.int32), row=np.arange(row, row + count), **batch)
        row += count


def _frames(parts: _Parts, files: list[str], wanted: Wanted) -> Frames:
    import numpy as np

    return Frames(
        files=files,
        file=parts.joined("file", "i4"),
        row=parts.joined("row", "i8"),
        episode_index=parts.joined("episode_index", "i8"),
        frame_index=parts.joined("frame_index", "i8"),
        index=parts.joined("index", "i8"),
        timestamp=parts.joined("timestamp", "f8"),
        observation=parts.joined("observation", "u8") if wanted.observations else None,
        action=parts.joined("action", "u8") if wanted.actions else None,
        sketch=parts.joined("sketch", "f8") if "sketch" in parts.numbers else None,
        not_finite={name: np.concatenate(pieces) for name, pieces in parts.not_finite.items()},
        videos=wanted.videos,
    )


def _file(
    root: Path, file: str, wanted: Wanted, found: Findings, *, near: bool, on_bytes: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    path = inside(root, file)
    if not path.exists():
        raise FileNotFoundError(path)
    if not path.is_file():
        raise DamagedError("is not a regular file")
    size = path.stat().st_size
    # Page checksums are optional in parquet; if the writer left them, a flipped bit is found.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as source:
        wanted.check(source.schema_arrow)
        rows = source.metadata.num_rows
        for batch in source.iter_batches(_batch_rows(source.metadata), columns=wanted.names, use_threads=False):
            if len(batch):
                yield _numbers_of(batch, file, wanted, found, near=near)
            on_bytes(size * len(batch) // max(1, rows))


def _batch_rows(metadata: Any) -> int:
    """Return how many rows make about 32 MB, so that pictures in the rows do not fill the memory."""
    groups = (metadata.row_group(i) for i in range(min(metadata.num_row_groups, 16)))
    each = max((g.total_byte_size // max(1, g.num_rows) for g in groups), default=1)
    return int(min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, each))))


def _numbers_of(batch: Any, file: str, wanted: Wanted, found: Findings, *, near: bool) -> dict[str, Any]:
    result = {name: _numeric(batch, name, "int64") for name in _NUMBERS}
    result["timestamp"] = _numeric(batch, "timestamp", "float64")
    wanted.see_tasks(_numeric(batch, "task_index", "int64"), file, found) if "task_index" in wanted.names else None
    values, not_finite = [], {}
    for kind, names in (("observation", wanted.observations), ("action", wanted.actions)):
        for name in names:
            column = batch.column(name)
            numbers = matrix(column)
            wanted.see_shape(name, None if numbers is None else numbers.shape[1], column.type, file, found)
            hashed = of_column(column)
            result[kind] = mixed(result[kind], hashed) if kind in result else hashed
            if numbers is not None and len(rows := _not_finite(numbers)):
                not_finite[name] = rows
            if near and numbers is not None:
                values.append(numbers)
    if near:
        result["sketch"] = sketch(values, len(batch))
    return result | {"not_finite": not_finite}


def _not_finite(numbers: Any) -> Any:
    """Return the rows of a matrix of shape (rows, width) that hold NaN or infinity, int64."""
    import numpy as np

    finite: Any = np.isfinite(numbers)
    return np.empty(0, np.int64) if finite.all() else np.flatnonzero(~finite.all(axis=1))


def _numeric(batch: Any, name: str, kind: str) -> Any:
    column = batch.column(name)
    if column.null_count:
        raise DamagedError(f"the column {name!r} has {column.null_count} empty cells")
    return column.to_numpy(zero_copy_only=False).astype(kind)


def sketch(values: Sequence[Any], rows: int) -> Any:
    """Return four projections of each frame, float64 of shape (rows, 4), from matrices of shape (rows, width).

    Each is a mean of the values with signs, so that it differs by no more than the values do.
    """
    import numpy as np

    if not values:
        return np.zeros((rows, PROJECTIONS))
    together = np.concatenate([v.astype(np.float64) for v in values], axis=1)
    width = together.shape[1]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(width, PROJECTIONS))
    return together @ (signs / max(1, width))
