"""Marks of what cannot be saved: they change when it does, so that the change can be said."""

import collections.abc
import enum
import hashlib
import io
import pathlib
import types
from typing import Any

from ckptkit_torchdata.tensor_bytes import raw_bytes

_WHOLE = 1 << 20
_SAMPLED = 1024
_ENTRIES = 64
_UNCHANGING = (enum.Enum, pathlib.PurePath, slice, frozenset)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: not set on the interpreter's own types


def is_array(value: Any) -> bool:
    """Return whether a value is an array of NumPy or a tensor of torch."""
    return (
        type(value).__module__.partition(".")[0] in ("numpy", "torch")
        and hasattr(value, "shape")
        and hasattr(value, "dtype")
    )


def of_data(value: Any) -> tuple[Any, ...]:
    """Return a mark of large data: of arrays up to 1 MiB all bytes, of larger ones and of lists a sample.

    A tensor also counts the changes that torch makes to it.
    """
    if not is_array(value):
        return type(value).__name__, len(value), _sample(value)
    said = (type(value).__name__, str(value.dtype), tuple(value.shape))
    try:
        data = _bytes_of_tensor(value.detach()) if hasattr(value, "detach") else _bytes_of_array(value)
        counted = value._version if hasattr(value, "_version") and not value.is_inference() else None
        return *said, counted, hashlib.sha256(data).digest()
    except (RuntimeError, TypeError, ValueError):
        return *said, id(value)


def _bytes_of_tensor(value: Any) -> bytes:
    if value.device.type != "cpu":
        return b""  # to fetch it would wait for the device: torch counts what it changes
    flat = value.reshape(-1) if value.nbytes <= _WHOLE or value.is_contiguous() else value[:1].reshape(-1)
    return raw_bytes(flat if flat.nbytes <= _WHOLE else flat[:: max(1, len(flat) // _SAMPLED)])


def _bytes_of_array(value: Any) -> bytes:
    if value.dtype.hasobject:
        raise TypeError("an array of objects has no bytes of its own")
    if value.nbytes > _WHOLE:
        value = value[
            tuple(slice(None, None, max(1, size // _SAMPLED if value.ndim == 1 else size // 8)) for size in value.shape)
        ]
    return bytes(value.tobytes())


def _sample(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        picked = [value[index] for index in range(0, len(value), max(1, len(value) // _ENTRIES))]
    elif isinstance(value, (str, bytes, bytearray)):
        return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()
    else:
        picked = [entry for entry, _ in zip(value, range(_ENTRIES), strict=False)]
    return repr([_one(entry) for entry in picked])


def _one(entry: Any) -> Any:
    if isinstance(entry, (str, bytes, int, float)):
        return entry
    return of_data(entry) if is_array(entry) else id(entry)


def of_object(value: Any) -> tuple[Any, ...]:
    """Return a mark of an object that cannot be looked into: what it says of itself, or which one it is."""
    plain = isinstance(value, _UNCHANGING) or type(value).__module__ in ("datetime", "decimal", "fractions", "uuid")
    immutable = type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device", "Size")
    return type(value).__qualname__, repr(value) if plain or immutable else id(value)


def moves(value: Any) -> str | None:
    """Describe an object that moves on as it is used and whose position cannot be put back, or return None."""
    kind = type(value)
    if isinstance(value, io.IOBase):
        return "an open file"
    if isinstance(value, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return "a generator"
    made_in_c = not kind.__flags__ & _HEAP_TYPE
    if isinstance(value, collections.abc.Iterator) and (made_in_c or kind.__module__ == "itertools"):
        return f"an iterator ({kind.__module__}.{kind.__name__})"
    if kind.__module__ in ("_queue", "multiprocessing.queues") or kind.__module__ == "multiprocessing.managers":
        return f"a {kind.__module__}.{kind.__name__}"
    return None
