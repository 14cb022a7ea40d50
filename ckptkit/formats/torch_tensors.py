"""The tensors in a file of ``torch.save``, found by following its pickle with the inert machine; nothing is unpickled.

Source: torch/serialization.py (``_save``, ``_legacy_save``), torch/_utils.py (``_rebuild_*``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats import dtypes
from ckptkit.formats.pickle_machine import INERT, Global
from ckptkit.formats.pickle_stream import PickleError
from ckptkit.formats.pickle_values import Instance, plain_value
from ckptkit.formats.sources import Source
from ckptkit.formats.torch_files import shows_legacy as shows_legacy
from ckptkit.formats.zip_directory import Member
from ckptkit.formats.zips import read_entry

_MAX_PICKLE = 256 << 20
_MOST_VALUES = 300_000
_DEEPEST = 100
_MAX_RANK = 64
_LARGEST = 2**63 - 1
_REBUILD = "torch._utils"
_BEFORE_STORAGES = ("magic number", "protocol version", "system info")
_PARTS = ("_parameters", "_buffers", "_modules")  # where a pickled module keeps what its state dict names directly


@dataclass(frozen=True, slots=True)
class View:
    """A tensor: its name, and which bytes of which member (None: of the file itself) it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    member: Member | None
    offset: int
    size: int
    strides: tuple[int, ...] | None
    big_endian: bool


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_ENTERED = (_Tensor, Instance, dict, list, tuple)


def _walked(value: object) -> Iterator[tuple[str, _Tensor]]:
    """Yield the tensors in nested values by their names, in order; what refers to itself is not entered again.

    Raises:
        DamagedError: there is no end to it: one dict may be in many others.
    """
    waiting: list[tuple[str, object, frozenset[int]]] = [("", value, frozenset())]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        name, value, above = waiting.pop()
        if isinstance(value, _Tensor):
            yield name, value
            continue
        inner = value.state if isinstance(value, Instance) else value
        if not isinstance(inner, (dict, list, tuple)) or id(inner) in above:
            continue
        if len(above) > _DEEPEST:
            break
        pairs: Iterable[tuple[object, object]] = inner.items() if isinstance(inner, dict) else enumerate(inner)
        below = above | {id(inner)}
        named = [(_joined(name, key, value), one, below) for key, one in pairs if isinstance(one, _ENTERED)]
        waiting += reversed(named)
    raise DamagedError("is nested in a way that its tensors cannot be listed")


def _joined(name: str, key: object, holder: object) -> str:
    if not isinstance(key, (str, int)) or (isinstance(holder, Instance) and key in _PARTS):
        return name
    return f"{name}.{key}" if name else str(key)


def is_torch(entries: Sequence[Member]) -> bool:
    """Return whether these are the members of a zip of ``torch.save``."""
    return any(_role(entry) == "data.pkl" for entry in entries)


def of_zip(stream: BinaryIO, entries: Sequence[Member]) -> Iterator[View]:
    """Yield the tensors of a file in today's form.

    Raises:
        DamagedError: its pickle cannot be followed, or a storage is missing.
    """
    members = {_role(entry): entry for entry in entries}
    entry = members["data.pkl"]
    if entry.size > _MAX_PICKLE:
        raise DamagedError(f"has a pickle of {entry.size} bytes; at most {_MAX_PICKLE} are followed")
    data = read_entry(stream, entry, limit=_MAX_PICKLE, check_crc=False)
    order = members.get("byteorder")
    big = order is not None and read_entry(stream, order, limit=8, check_crc=False) == b"big"
    for name, tensor in _found(BytesIO(data), len(data)):
        member = members.get(f"data/{tensor.storage.key}".casefold())
        if member is None:
            raise DamagedError(f"has no storage {tensor.storage.key!r}, which tensor {name!r} needs")
        yield _view(name, tensor, member, 0, big)


def of_legacy(source: Source) -> Iterator[View]:
    """Yield the tensors of a file of the old form: five pickles, then the storages in the order of the last one."""
    source.stream.seek(0)
    for _ in _BEFORE_STORAGES:
        _value(source.stream, source.length)
    found = _found(source.stream, source.length)
    keys = _value(source.stream, source.length)
    counts = {tensor.storage.key: tensor.storage for _, tensor in found}
    place, places = source.stream.tell(), dict[str, int]()
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in counts:
            break  # how long it is nobody says: what lies behind it cannot be found
        places[key] = place + 8
        place += 8 + counts[key].count * dtypes.WIDTHS[counts[key].dtype]
    for name, tensor in found:
        if tensor.storage.key not in places:
            raise DamagedError(f"does not say where tensor {name!r} lies")
        yield _view(name, tensor, None, places[tensor.storage.key], False)


def _role(entry: Member) -> str:
    return entry.name.partition("/")[2].casefold()


def _found(stream: BinaryIO, length: int) -> list[tuple[str, _Tensor]]:
    return list(_walked(_value(stream, length)))


def _value(stream: BinaryIO, length: int) -> object:
    try:
        return plain_value(stream, length, persistent=_storage, call=_call)
    except PickleError as error:
        raise DamagedError(f"has a pickle that {error}") from error


def _storage(identifier: object) -> object:
    match identifier:
        case ("storage", Global() as kind, str(key), _, int(count), *_) if kind.name in dtypes.TORCH and count >= 0:
            return _Storage(key, dtypes.TORCH[kind.name], count)
    return INERT


def _call(function: Global, arguments: object) -> object | None:
    rebuild = _REBUILDS.get(function.name) if function.module == _REBUILD else None
    if function.name == "_rebuild_from_type_v2" and isinstance(arguments, tuple) and len(arguments) == 4:
        called, _, inner, _ = arguments  # of a subclass of Tensor
        return _call(called, inner) if isinstance(called, Global) and called != function else None
    if rebuild is None or not isinstance(arguments, tuple):
        return None
    return rebuild(*arguments) or INERT


def _tensor(*arguments: object) -> object:
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            return _made(storage, storage.dtype, offset, shape, strides)
    return None


def _typed(*arguments: object) -> object:
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), _, _, Global() as dtype, *_):
            return _made(storage, dtype.name, offset, shape, strides)
    return None


def _made(
    storage: _Storage, dtype: str, offset: int, shape: tuple[object, ...], strides: tuple[object, ...]
) -> _Tensor | None:
    sides = [n for n in (*shape, *strides) if type(n) is int and n >= 0]
    rank = len(shape)
    if offset < 0 or len(sides) != rank + len(strides) or rank != len(strides) or rank > _MAX_RANK:
        return None
    return _Tensor(storage, dtype, offset, tuple(sides[:rank]), tuple(sides[rank:]))


def _first(*arguments: object) -> object:
    return arguments[0] if arguments else None


def _sparse(*arguments: object) -> object:
    return list(arguments[1]) if len(arguments) > 1 and isinstance(arguments[1], tuple) else None


_REBUILDS: Mapping[str, Callable[..., object]] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _typed,
    "_rebuild_qtensor": _tensor,
    "_rebuild_parameter": _first,
    "_rebuild_parameter_with_state": _first,
    "_rebuild_sparse_tensor": _sparse,
}


def _view(name: str, tensor: _Tensor, member: Member | None, start: int, big: bool) -> View:
    width = dtypes.WIDTHS.get(tensor.dtype, 0)
    reach = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True)) + 1
    size = 0 if 0 in tensor.shape else reach * width
    if max(prod(tensor.shape), size, tensor.offset * width) > _LARGEST:
        raise DamagedError(f"has a tensor {name!r} that no machine could hold")
    strides = None if _follows(tensor) else tensor.strides
    return View(name, tensor.dtype, tensor.shape, member, start + tensor.offset * width, size, strides, big)


def _follows(tensor: _Tensor) -> bool:
    """Return whether its numbers lie one after the other, the last dimension fastest."""
    wanted = 1
    for side, step in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if side != 1 and step != wanted:
            return 0 in tensor.shape
        wanted *= side
    return True
