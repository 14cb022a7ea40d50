"""What the metadata say about each episode: `meta/episodes.jsonl` (v2) or `meta/episodes/**/*.parquet` (v3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ckptkit.errors import DamagedError, UnsafeContentError
from ckptkit.formats import strict_json
from ckptkit.formats.escaped import escaped
from ckptkit_data.findings import Findings
from ckptkit_data.layout import Info, inside, parquet_files

JSONL = "meta/episodes.jsonl"
FOLDER = "meta/episodes"
_V3_COLUMNS = (
    "episode_index",
    "length",
    "data/chunk_index",
    "data/file_index",
    "dataset_from_index",
    "dataset_to_index",
)


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode as the metadata have it.

    Attributes:
        number: its ``episode_index``.
        length: frames.
        file: relative path of the data file that holds it.
        start: v3: first global index of its frames.
        stop: v3: global index just after its last frame.
        source: the metadata file that says so.
    """

    number: int
    length: int
    file: str
    start: int | None
    stop: int | None
    source: str


def read_episodes(root: Path, info: Info, found: Findings) -> list[Episode]:
    """Return the episodes of the metadata in file order; what cannot be read is added to the findings."""
    rows = _from_jsonl(root, info, found) if info.major == 2 else _from_parquet(root, info, found)
    return list(rows)


def _from_jsonl(root: Path, info: Info, found: Findings) -> Iterator[Episode]:
    try:
        lines = inside(root, JSONL).read_bytes().splitlines()
    except UnsafeContentError as error:
        found.add("data-path-unsafe", error.message, file=JSONL, severity="unsafe")
        return
    except OSError as error:
        found.add("data-file-missing", f"cannot be read: {error.strerror or error}", file=JSONL)
        return
    for number, line in enumerate(lines, 1):
        try:
            row = strict_json.loads(line) if line.strip() else None
        except DamagedError as error:
            found.add("data-file-damaged", f"line {number} {error.message}", file=JSONL)
            continue
        if row is None:
            continue
        episode, length = (row.get("episode_index"), row.get("length")) if isinstance(row, dict) else (None, None)
        if not _whole(episode) or not _whole(length):
            found.add("data-file-damaged", f"line {number} has no whole episode_index and length", file=JSONL)
            continue
        yield Episode(episode, length, info.episode_file(episode), None, None, JSONL)


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _from_parquet(root: Path, info: Info, found: Findings) -> Iterator[Episode]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = list(parquet_files(root, FOLDER))
    if not files and info.total_episodes:
        found.add("data-file-missing", "holds no parquet file", file=FOLDER)
    for file in files:
        try:
            table = pq.ParquetFile(inside(root, file)).read(columns=list(_V3_COLUMNS), use_threads=False)
            columns = {name: _numbers(table, name) for name in _V3_COLUMNS}
        except UnsafeContentError as error:
            found.add("data-path-unsafe", error.message, file=file, severity="unsafe")
            continue
        except (OSError, pa.ArrowException, DamagedError) as error:
            found.add("data-file-damaged", f"cannot be read: {first_line(error)}", file=file)
            continue
        for row in zip(*columns.values(), strict=True):
            if not all(map(_whole, row)):
                found.add("data-file-damaged", f"episode {row[0]} has a missing or negative number", file=file)
                continue
            number, length, chunk, of, start, stop = row
            yield Episode(number, length, info.chunk_file(chunk, of), start, stop, file)


def _numbers(table: Any, name: str) -> list[Any]:
    import pyarrow as pa

    where = table.schema.get_field_index(name)
    if where < 0:
        raise DamagedError(f"has no column {name!r}")
    if not pa.types.is_integer(table.schema.field(where).type):
        raise DamagedError(f"the column {name!r} is {table.schema.field(where).type}, not whole numbers")
    return list(table.column(where).to_pylist())


def first_line(error: Exception) -> str:
    """Return the reason of an error in one line."""
    text = str(error).strip() or type(error).__name__
    return escaped(text.splitlines()[0], 200)
