"""Writes LeRobot datasets of the layouts v2.1 and v3.0 with pyarrow alone, one episode at a time."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ckptkit.errors import ConflictError, UsageError
from ckptkit.formats import strict_json

Layout = Literal["v2.1", "v3.0"]
_CHUNK = 1000
_V2_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_V3_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded episode.

    Attributes:
        columns: column name -> array of shape (frames, values), or (frames,) for one value per frame.
        task: what the robot was asked to do.
    """

    columns: Mapping[str, Any]
    task: str = "default"


def write_dataset(
    root: Path,
    recordings: Iterable[Recording],
    *,
    fps: float,
    layout: Layout = "v3.0",
    robot_type: str = "simulated",
    names: Mapping[str, list[str]] | None = None,
    splits: Mapping[str, str] | None = None,
    episodes_per_file: int = 1000,
) -> Path:
    """Write a dataset into a new or empty folder, and `meta/info.json` last.

    Args:
        root: the folder.
        recordings: the episodes, all with the same columns; each is written as it comes.
        fps: frames per second; timestamps are ``frame_index / fps``.
        layout: ``v2.1`` (one file per episode) or ``v3.0`` (many episodes per file).
        robot_type: as `meta/info.json` has it.
        names: column name -> names of its values.
        splits: split -> ``"start:stop"``; all episodes in ``train`` if left out.
        episodes_per_file: v3.0 only.

    Returns:
        The folder.

    Raises:
        UsageError: an unknown layout, an absurd rate, or no episode at all.
        ConflictError: the folder is not empty.
    """
    root = Path(root)
    _refuse_absurd(root, fps, layout, episodes_per_file)
    (root / "meta").mkdir(parents=True)
    book = _Book(fps)
    with _files(root, layout, episodes_per_file) as write:
        for recording in recordings:
            table = book.enter(recording)
            write(len(book.rows) - 1, table)
    if not book.rows:
        raise UsageError("a dataset needs at least one episode", hint="record one")
    if layout == "v2.1":
        _v2_metadata(root, book)
    else:
        _v3_metadata(root, book, episodes_per_file)
    info = _info(book, layout, robot_type, names or {}, splits or {"train": f"0:{len(book.rows)}"})
    (root / "meta/info.json").write_bytes(strict_json.dumps(info, indent=4))
    return root


def _refuse_absurd(root: Path, fps: float, layout: str, episodes_per_file: int) -> None:
    if layout not in ("v2.1", "v3.0"):
        raise UsageError(f"layout {layout!r} is neither 'v2.1' nor 'v3.0'", hint="choose one of the two")
    if not (0 < fps < math.inf) or episodes_per_file < 1:
        raise UsageError("fps and episodes_per_file must be positive", hint="leave them out for the defaults")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConflictError(f"{root}: is not an empty folder", hint="choose another folder, or remove this one")


class _Book:
    """What is known of the episodes written so far."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.rows: list[dict[str, Any]] = []
        self.tasks: dict[str, int] = {}
        self.frames = 0
        self.features: dict[str, dict[str, Any]] = {}

    def enter(self, recording: Recording) -> Any:
        """Number an episode, and return its frames as a table."""
        import numpy as np
        import pyarrow as pa

        columns = {name: np.asarray(values) for name, values in recording.columns.items()}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise UsageError(f"episode {len(self.rows)}: columns of {sorted(lengths)} frames", hint="one row per frame")
        count = lengths.pop()
        task = self.tasks.setdefault(recording.task, len(self.tasks))
        frame = np.arange(count)
        columns["timestamp"] = (frame / self.fps).astype(np.float32)
        columns["frame_index"] = frame
        columns["episode_index"] = np.full(count, len(self.rows))
        columns["index"] = frame + self.frames
        columns["task_index"] = np.full(count, task)
        self._agree(columns)
        self.rows.append(
            {
                "episode_index": len(self.rows),
                "tasks": [recording.task],
                "length": count,
                "dataset_from_index": self.frames,
                "dataset_to_index": self.frames + count,
                "stats": {name: _stats(values) for name, values in columns.items()},
            }
        )
        self.frames += count
        return pa.table({name: _column(values) for name, values in columns.items()})

    def _agree(self, columns: Mapping[str, Any]) -> None:
        features = {n: {"dtype": str(v.dtype), "shape": list(v.shape[1:]) or [1]} for n, v in columns.items()}
        if self.rows and features != self.features:
            raise UsageError(
                f"episode {len(self.rows)} has other columns than episode 0",
                hint="record all episodes with the same columns",
            )
        self.features = features


def _column(values: Any) -> Any:
    import pyarrow as pa

    if values.ndim == 1 or values.shape[1:] == (1,):
        return pa.array(values.reshape(-1))  # one value per frame must be a plain column, or `datasets` cannot read it
    if values.ndim != 2:
        raise UsageError(f"a column of shape {values.shape} cannot be written", hint="one row of numbers per frame")
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _stats(values: Any) -> dict[str, list[float]]:
    rows = values.reshape(len(values), -1)
    result = {name: getattr(rows, name)(axis=0).tolist() for name in ("min", "max")}
    return result | {"mean": rows.mean(axis=0).tolist(), "std": rows.std(axis=0).tolist(), "count": [len(rows)]}


@contextmanager
def _files(root: Path, layout: Layout, episodes_per_file: int) -> Iterator[Any]:
    """Yield ``write(episode, table)``; v3.0 gives each episode a row group of its own. Pages carry checksums."""
    import pyarrow.parquet as pq

    writer: Any = None

    def write(episode: int, table: Any) -> None:
        nonlocal writer
        if layout == "v2.1":
            path = root / _V2_PATH.format(episode_chunk=episode // _CHUNK, episode_index=episode)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, write_page_checksum=True)
            return
        if episode % episodes_per_file == 0:
            if writer is not None:
                writer.close()
            chunk, file = _v3_place(episode, episodes_per_file)
            path = root / _V3_PATH.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(path, table.schema, write_page_checksum=True)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _v3_place(episode: int, episodes_per_file: int) -> tuple[int, int]:
    return divmod(episode // episodes_per_file, _CHUNK)


def _v2_metadata(root: Path, book: _Book) -> None:
    lines = {"episodes": [], "episodes_stats": [], "tasks": []}  # type: dict[str, list[dict[str, Any]]]
    for row in book.rows:
        lines["episodes"].append({name: row[name] for name in ("episode_index", "tasks", "length")})
        lines["episodes_stats"].append({"episode_index": row["episode_index"], "stats": row["stats"]})
    lines["tasks"] = [{"task_index": number, "task": task} for task, number in book.tasks.items()]
    for name, rows in lines.items():
        (root / f"meta/{name}.jsonl").write_bytes(b"".join(strict_json.dumps(row) + b"\n" for row in rows))


def _v3_metadata(root: Path, book: _Book, episodes_per_file: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for row in book.rows:
        chunk, file = _v3_place(row["episode_index"], episodes_per_file)
        flat = {name: value for name, value in row.items() if name != "stats"}
        flat |= {"data/chunk_index": chunk, "data/file_index": file}
        flat |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        flat |= {f"stats/{n}/{kind}": v for n, stats in row["stats"].items() for kind, v in stats.items()}
        rows.append(flat)
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    pq.write_table(_tasks(book.tasks), root / "meta/tasks.parquet")
    (root / "meta/stats.json").write_bytes(strict_json.dumps(_all_stats(book), indent=4))


def _tasks(tasks: Mapping[str, int]) -> Any:
    """Return the table that lerobot reads with pandas: the text is the index, so pandas' own metadata must say so."""
    import json

    import pyarrow as pa

    table = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), "task": pa.array(tasks, pa.string())})
    kinds = (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    columns = [
        {"name": n, "field_name": n, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for n, kind, numpy in kinds
    ]
    text = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [text | {"metadata": {"encoding": "UTF-8"}}],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _all_stats(book: _Book) -> dict[str, dict[str, Any]]:
    """Return statistics of all frames, put together from those of the episodes."""
    import numpy as np

    result = {}
    for name in book.features:
        of = [row["stats"][name] for row in book.rows]
        counts = np.array([s["count"][0] for s in of], float)[:, None]
        means, stds = np.array([s["mean"] for s in of]), np.array([s["std"] for s in of])
        mean = (means * counts).sum(axis=0) / counts.sum()
        variance = ((stds**2 + (means - mean) ** 2) * counts).sum(axis=0) / counts.sum()
        result[name] = {
            "min": np.min([s["min"] for s in of], axis=0).tolist(),
            "max": np.max([s["max"] for s in of], axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
            "count": [int(counts.sum())],
        }
    return result


def _info(
    book: _Book, layout: Layout, robot_type: str, names: Mapping[str, list[str]], splits: Mapping[str, str]
) -> dict[str, Any]:
    features = {name: feature | {"names": names.get(name)} for name, feature in book.features.items()}
    fps = int(book.fps) if float(book.fps).is_integer() else book.fps
    info = {
        "codebase_version": layout,
        "robot_type": robot_type,
        "total_episodes": len(book.rows),
        "total_frames": book.frames,
        "total_tasks": len(book.tasks),
        "chunks_size": _CHUNK,
        "fps": fps,
        "splits": dict(splits),
        "data_path": _V2_PATH if layout == "v2.1" else _V3_PATH,
        "video_path": None,
        "features": features,
    }
    if layout == "v2.1":
        return info | {"total_videos": 0, "total_chunks": -(-len(book.rows) // _CHUNK)}
    return info | {"data_files_size_in_mb": 100, "video_files_size_in_mb": 500}
