"""Replay buffers as npz: only the filled rows (SB3 pickles the whole capacity), without objects."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder
from ckptkit_sb3.layout import REPLAY as FILE
from ckptkit_sb3.layout import Place
from ckptkit_sb3.names import class_name


def rows_of(buffer: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(name, array)`` of every array with one row per stored transition, whole capacity."""
    for name, value in vars(buffer).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for key, part in parts:
            if _is_rows(part, buffer):
                yield (f"{name}/{key}" if key else name), part


def filled(buffer: Any) -> int:
    """Return the number of rows that hold something."""
    if buffer.full:
        return int(buffer.buffer_size)
    # Without next_observations the row at `pos` already holds the newest next observation.
    ahead = 1 if getattr(buffer, "optimize_memory_usage", False) and buffer.pos else 0
    return min(int(buffer.pos) + ahead, int(buffer.buffer_size))


def take(buffer: Any, arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the filled rows, which are the buffer's own, their JSON description, and what cannot be written."""
    count = filled(buffer)
    rows: dict[str, Any] = {}
    left_out = []
    for name, array in rows_of(buffer):
        if array.dtype.hasobject:
            if any(array[:count].ravel()):
                left_out.append(f"replay_buffer.{name} (python objects)")
        else:
            rows[name] = array[:count]
    encoder = Encoder(arrays, "replay/", skip=_row_names(buffer))
    others = encoder.attributes(buffer, "replay_buffer")
    shapes = {name: [array.dtype.str, list(array.shape[1:])] for name, array in rows.items()}
    description = {
        "class": class_name(buffer),
        "capacity": int(buffer.buffer_size),
        "rows": count,
        "arrays": shapes,
        "attributes": others,
    }
    return rows, description, left_out + encoder.left_out


def fits(description: Mapping[str, Any], buffer: Any) -> None:
    """Raise BackendError unless the rows fit into the live buffer, row by row."""
    if buffer is None:
        raise BackendError("the checkpoint holds a replay buffer, the target has none")
    if class_name(buffer) != description["class"]:
        raise BackendError(f"the replay buffer is a {class_name(buffer)}, the saved one a {description['class']}")
    if int(buffer.buffer_size) != description["capacity"]:
        raise BackendError(
            f"the replay buffer has room for {buffer.buffer_size} rows, the saved one for {description['capacity']}",
            hint="build the algorithm with the buffer_size and the number of environments of the checkpoint",
        )
    live = {n: [a.dtype.str, list(a.shape[1:])] for n, a in rows_of(buffer) if not a.dtype.hasobject}
    for name in sorted(live.keys() | description["arrays"].keys()):
        if live.get(name) != description["arrays"].get(name):
            raise BackendError(
                f"replay buffer {name}: {live.get(name)} here, {description['arrays'].get(name)} in the checkpoint"
            )


def plan(
    description: Mapping[str, Any], buffer: Any, directory: Place, arrays: Mapping[str, Any], decoder: Decoder
) -> None:
    """Check that the file fits and collect the assignments that fill the buffer from it."""
    fits(description, buffer)
    path, count = directory / FILE, description["rows"]
    if not isinstance(count, int) or not 0 <= count <= buffer.buffer_size:
        raise DamagedError(f"{FILE}: {count} rows do not fit the capacity")
    found = headers(path)
    for name, (dtype, shape) in description["arrays"].items():
        if found.get(name) != (dtype, (count, *shape)):
            raise DamagedError(f"{FILE}: {name} has another shape or dtype than state.json notes")
    before = filled(buffer)
    decoder.later(lambda: _fill(buffer, path, count, before))
    attributes = Decoder(arrays, skip=_row_names(buffer))
    attributes.attributes(description["attributes"], buffer, "replay_buffer")
    decoder.later(attributes.apply)


def headers(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return ``{name: (dtype, shape)}`` of an npz from its headers alone."""
    from numpy.lib import format as npy

    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                version = npy.read_magic(stream)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(stream)
                found[member.removesuffix(".npy")] = (dtype.str, shape)
    return found


def _fill(buffer: Any, path: Path, count: int, before: int) -> None:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        for name, array in rows_of(buffer):
            if name in file.files:
                array[:count] = file[name]
                array[count:before] = 0  # not beyond: untouched rows cost no memory until they are written


def _is_rows(value: Any, buffer: Any) -> bool:
    shape: Any = getattr(value, "shape", None)
    return bool(shape) and hasattr(value, "dtype") and shape[0] == buffer.buffer_size


def _row_names(buffer: Any) -> frozenset[str]:
    return frozenset(name.partition("/")[0] for name, _ in rows_of(buffer))
