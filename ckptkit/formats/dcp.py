"""What ``torch.distributed.checkpoint`` says in its ``.metadata``: which files there are, and how far they are used.

Source: torch/distributed/checkpoint/filesystem.py (``_StorageInfo``, ``FileSystemWriter``).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.opening import opened
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickle_values import Instance, plain_value

_MAX_BYTES = 256 << 20


def extents(path: Path) -> Mapping[str, int] | None:
    """Return how many bytes of each file are used, or None if that cannot be read.

    Args:
        path: a ``.metadata`` file; it is read without running it.
    """
    try:
        with opened(path) as (stream, length):
            if length > _MAX_BYTES:
                return {}
            top = plain_value(stream, length)
    except (PickleError, DamagedError, OSError):
        return None
    found: dict[str, int] = {}
    for part in _storage(top):
        match _fields(part):
            case {"relative_path": str(name), "offset": int(offset), "length": int(size)}:
                found[name] = max(found.get(name, 0), offset + size)
    return found


def _storage(top: object) -> Iterator[object]:
    storage = _fields(top).get("storage_data")
    yield from storage.values() if isinstance(storage, dict) else ()


def _fields(value: object) -> dict[str, Any]:
    state = value.state if isinstance(value, Instance) else None
    return state if isinstance(state, dict) else {}
