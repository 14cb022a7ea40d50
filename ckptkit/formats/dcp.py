"""What ``torch.distributed.checkpoint`` says in its ``.metadata``: which files there are, and how far they are used.

Source: torch/distributed/checkpoint/filesystem.py (``_StorageInfo``, ``FileSystemWriter``).
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickle_values import Instance, plain_value
from ckptkit.formats.shown import shown
from ckptkit.problem import Problem

_MAX_BYTES = 256 << 20


def extents(path: Path) -> Mapping[str, int]:
    """Return by file how many bytes of it are used; nothing for a file that is no such metadata.

    Args:
        path: a ``.metadata`` file; it is read without running it.
    """
    try:
        with opened(path) as (stream, length):
            top = plain_value(stream, length) if length <= _MAX_BYTES else None
    except (PickleError, DamagedError, OSError):
        return {}  # the walker says it
    found: dict[str, int] = {}
    for part in _storage(top):
        match _fields(part):
            case {"relative_path": str(name), "offset": int(offset), "length": int(size)}:
                found[name] = max(found.get(name, 0), offset + size)
    return found


def too_short(folder: Path, name: str, files: Collection[str]) -> Iterator[Problem]:
    """Yield the files of an item that are shorter than a ``.metadata`` of it says."""
    for member, needed in extents(folder / name).items():
        place = (PurePosixPath(name).parent / member).as_posix()
        if place not in files:
            continue
        size = (folder / place).stat().st_size
        if size < needed:
            message = f"is {size} bytes long, {name.rpartition('/')[2]} says {needed}: cut short"
            yield Problem("dcp-damaged", message, shown(place))


def _storage(top: object) -> Iterator[object]:
    storage = _fields(top).get("storage_data")
    yield from storage.values() if isinstance(storage, dict) else ()


def _fields(value: object) -> dict[str, Any]:
    state = value.state if isinstance(value, Instance) else None
    return state if isinstance(state, dict) else {}
