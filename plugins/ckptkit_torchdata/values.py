"""Small plain values as JSON and back: what an attribute of a dataset may hold that training changes."""

import base64
import binascii
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit_torchdata.lazy_import import torch
from ckptkit_torchdata.tensor_bytes import raw_bytes

Node = Any
MOST_LEAVES = 4096
MOST_BYTES = 65536
_DEEPEST = 8
ABSENT: dict[str, Any] = {"@": "absent"}
"""Stands for an attribute that was there when the loader was built, and is not any more."""
_SEQUENCES: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
_HASHABLE = ("bytes", "tuple", "frozenset", "complex", "scalar", "range")
_TABLES: dict[str, type] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
_TORCH = {
    "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "float16": 2, "bfloat16": 2, "float32": 4,
    "float64": 8, "complex64": 8, "complex128": 16,
}  # fmt: skip
_NUMPY = {f"{kind}{size}": size for kind, sizes in {"b": (1,), "iu": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}.items()
          for kind in kind for size in sizes}  # fmt: skip


class NotPlainError(ValueError):
    """The value is, or holds, something else than plain values."""


class TooLargeError(ValueError):
    """The value is plain, but data rather than state."""


def encode(value: Any) -> Node:
    """Return the node of a plain value.

    Raises:
        NotPlainError: it holds an object.
        TooLargeError: it has more than 4096 entries, or arrays of more than 64 KiB.
    """
    room = [MOST_LEAVES, MOST_BYTES]
    try:
        return _encode(value, room, 0)
    except RecursionError as error:
        raise NotPlainError("nested too deeply") from error


def _encode(value: Any, room: list[int], depth: int) -> Node:
    room[0] -= 1
    if room[0] < 0:
        raise TooLargeError("too many entries")
    if depth > _DEEPEST:
        raise NotPlainError("nested too deeply")
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    node = _simple(value, room) if kind in (str, bytes, bytearray, complex, range) else _container(value, room, depth)
    return _array(value, room) if node is None else node


def _simple(value: Any, room: list[int]) -> Node:
    kind = type(value)
    if kind is str:
        _spend(room, len(value))
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise NotPlainError("text that is not Unicode")
        return value
    if kind in (bytes, bytearray):
        _spend(room, len(value))
        return {"@": kind.__name__, "data": base64.b64encode(value).decode("ascii")}
    if kind is complex:
        return {"@": "complex", "parts": [value.real, value.imag]}
    return {"@": "range", "parts": [value.start, value.stop, value.step]}


def _container(value: Any, room: list[int], depth: int) -> Node:
    kind = type(value)
    if kind is list:
        return [_encode(entry, room, depth + 1) for entry in _fitting(value, room)]
    if kind.__name__ in _SEQUENCES and kind is _SEQUENCES[kind.__name__]:
        items = [_encode(entry, room, depth + 1) for entry in _fitting(value, room)]
        if kind in (set, frozenset):
            items.sort(key=repr)
        return {"@": kind.__name__, "items": items, **({"maxlen": value.maxlen} if kind is deque else {})}
    if kind.__name__ in _TABLES and kind is _TABLES[kind.__name__]:
        pairs = [[_encode(k, room, depth + 1), _encode(v, room, depth + 1)] for k, v in _fitting(value, room).items()]
        return {"@": kind.__name__, "items": pairs}
    return None


def _fitting(value: Any, room: list[int]) -> Any:
    if len(value) > room[0]:
        # An object among the first ones tells a list of samples from a list of numbers.
        for entry, _ in zip(value, range(8), strict=False):
            _encode(entry, [MOST_LEAVES, MOST_BYTES], _DEEPEST)
        raise TooLargeError("too many entries")
    return value


def _spend(room: list[int], size: int) -> None:
    room[1] -= size
    if room[1] < 0:
        raise TooLargeError("too many bytes")


def _array(value: Any, room: list[int]) -> Node:
    module, name = type(value).__module__.partition(".")[0], type(value).__name__
    if module == "numpy" and hasattr(value, "dtype") and hasattr(value, "tobytes") and name != "memmap":
        code = f"{value.dtype.kind}{value.dtype.itemsize}"
        if code not in _NUMPY or type(value).__name__ == "matrix":
            raise NotPlainError(f"an array of {value.dtype}")
        _spend(room, value.nbytes)
        data = base64.b64encode(value.astype(value.dtype.newbyteorder("<")).tobytes()).decode("ascii")
        return {
            "@": "array" if name == "ndarray" else "scalar",
            "dtype": code,
            "shape": list(value.shape),
            "data": data,
        }
    if module == "torch" and isinstance(value, torch().Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        if dtype not in _TORCH or value.layout != torch().strided or value.is_meta or value.requires_grad:
            raise NotPlainError(f"a tensor of {dtype}")
        _spend(room, value.nbytes)
        data = base64.b64encode(raw_bytes(value)).decode("ascii")
        return {"@": "tensor", "dtype": dtype, "shape": list(value.shape), "data": data, "device": str(value.device)}
    raise NotPlainError(f"a {type(value).__qualname__}")


def fault(node: Node) -> str | None:
    """Return what is wrong with a node that was read from a file, or None; without torch or NumPy."""
    if node is None or isinstance(node, (bool, int, float, str)):
        return None
    if isinstance(node, list):
        return next((reason for entry in node if (reason := fault(entry))), None)
    kind = node.get("@") if isinstance(node, Mapping) else None
    if kind == "absent":
        return None
    if kind in ("bytes", "bytearray"):
        return None if _bytes(node) is not None else f"is not a valid {kind}"
    if kind in ("complex", "range"):
        parts, count, types = node.get("parts"), 2 if kind == "complex" else 3, float if kind == "complex" else int
        good = isinstance(parts, list) and len(parts) == count and all(type(part) is types for part in parts)
        return None if good and (kind == "complex" or parts[2]) else f"is not a valid {kind}"
    if kind in ("array", "scalar", "tensor"):
        size, shape, data = (
            (_TORCH if kind == "tensor" else _NUMPY).get(str(node.get("dtype"))),
            node.get("shape"),
            _bytes(node),
        )
        if size is None or data is None or not isinstance(shape, list) or len(shape) > 32:
            return f"is not a valid {kind}"
        for length in shape:
            if type(length) is not int or not 0 <= length <= MOST_BYTES:
                return f"is not a valid {kind}"
            size *= length
        return None if size == len(data) and (kind != "scalar" or not shape) else f"is not a valid {kind}"
    return _container_fault(node, kind)


def _container_fault(node: Any, kind: Any) -> str | None:
    items = node.get("items") if isinstance(node, Mapping) else None
    if kind not in (*_SEQUENCES, *_TABLES) or not isinstance(items, list):
        return "is a value of an unknown kind"
    if kind in _TABLES:
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in items):
            return f"is not a valid {kind}"
        keys = [pair[0] for pair in items]
        return next((r for pair in items for r in map(fault, pair) if r), None) or _unhashable(keys, kind)
    longest = node.get("maxlen")
    if kind == "deque" and longest is not None and (type(longest) is not int or longest < 0):
        return "is not a deque"
    reason = next((reason for entry in items if (reason := fault(entry))), None)
    return reason or (_unhashable(items, kind) if kind in ("set", "frozenset") else None)


def _unhashable(nodes: list[Any], kind: str) -> str | None:
    for node in nodes:
        inner = node.get("@") if isinstance(node, Mapping) else None
        if isinstance(node, list) or (inner is not None and inner not in _HASHABLE):
            return f"is a {kind} with an invalid key"
        if inner == "tuple" and (reason := _unhashable(node["items"], kind)):
            return reason
    return None


def _bytes(node: Mapping[str, Any]) -> bytes | None:
    try:
        return base64.b64decode(node["data"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def decode(node: Node, now: Any = None) -> Any:
    """Return the value of a judged node; a mutable one that stands there now is filled in place where that is possible.

    Others may hold it too: a list that dataset and collator share stays shared.
    """
    if isinstance(node, list):
        if type(now) is not list:
            return [decode(entry) for entry in node]
        now[:] = [decode(entry, now[index] if index < len(now) else None) for index, entry in enumerate(node)]
        return now
    if not isinstance(node, Mapping):
        return node
    kind = node["@"]
    if kind in ("bytes", "bytearray"):
        return {"bytes": bytes, "bytearray": bytearray}[kind](_bytes(node) or b"")
    if kind in ("complex", "range"):
        return (complex if kind == "complex" else range)(*node["parts"])
    if kind in _TABLES:
        old: Any = now if type(now) is _TABLES[kind] else {}
        pairs = [(key := decode(k), decode(v, old.get(key))) for k, v in node["items"]]
        return _filled(now, {"items": pairs}, _TABLES[kind])
    if kind in _SEQUENCES:
        entries = [decode(entry) for entry in node["items"]]
        if kind in ("tuple", "frozenset"):
            return _SEQUENCES[kind](entries)
        more = {"maxlen": node["maxlen"]} if kind == "deque" else {}
        return _filled(now, {"items": entries, **more}, _SEQUENCES[kind])
    if kind == "tensor":
        return _tensor(node, now)
    if kind in ("array", "scalar"):
        return _numpy(node, now)
    raise DamagedError(f"a value of the kind {str(kind)[:40]!r} is not known")


def _filled(now: Any, content: Mapping[str, Any], kind: Any) -> Any:
    items = dict(content["items"]) if kind is Counter else content["items"]  # a Counter counts what is not a mapping
    if type(now) is not kind or ("maxlen" in content and now.maxlen != content["maxlen"]):
        return kind(items, **({"maxlen": content["maxlen"]} if "maxlen" in content else {}))
    now.clear()
    if kind is deque:
        now.extend(items)
    else:
        now.update(items)
    return now


def _tensor(node: Mapping[str, Any], now: Any) -> Any:
    dtype, data = getattr(torch(), node["dtype"]), bytearray(_bytes(node) or b"")
    made = torch().frombuffer(data, dtype=dtype) if data else torch().empty(0, dtype=dtype)
    made = made.reshape(node["shape"]).clone()
    if not isinstance(now, torch().Tensor):
        return made.to(node["device"])
    if (now.dtype, now.shape) != (made.dtype, made.shape) or now.is_inference():
        return made.to(now.device)
    with torch().no_grad():
        return now.copy_(made)


def _numpy(node: Mapping[str, Any], now: Any) -> Any:
    import numpy as np

    made = np.frombuffer(_bytes(node) or b"", dtype=f"<{node['dtype']}").reshape(node["shape"]).copy()
    if node["@"] == "scalar":
        return made[()]
    fits = isinstance(now, np.ndarray) and (now.dtype, now.shape) == (made.dtype, made.shape)
    if fits and now.flags.writeable:
        now[...] = made
        return now
    return made
