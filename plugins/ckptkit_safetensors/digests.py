"""Digests of training state: the same for equal values, whatever object, device or file they come from."""

import struct
from collections.abc import Mapping
from typing import Any

import blake3

from ckptkit_safetensors.tensor_bytes import bytes_of
from ckptkit_safetensors.tensors import TensorSet, describe, is_array

_ATOMS = (str, bytes, bool, int, type(None))


def digest_tensors(tensors: TensorSet) -> str:
    """Return the digest of all names, shapes, dtypes, values and ties."""
    hasher = blake3.blake3()
    for name in sorted(tensors.names()):
        holder = tensors.aliases.get(name, name)
        _atom(hasher, name)
        if name in tensors.tensors:
            _tensor(hasher, tensors.tensors[name])
        else:
            _atom(hasher, holder)
    return f"blake3:{hasher.hexdigest()}"


def digest_state(value: Any) -> str:
    """Return the digest of nested state: dicts, lists, tuples, sets, tensors, numbers, text, bytes."""
    hasher = blake3.blake3()
    _state(hasher, value)
    return f"blake3:{hasher.hexdigest()}"


def _state(hasher: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        _atom(hasher, f"dict {len(value)}")
        for key in sorted(value, key=lambda k: (type(k).__name__, repr(k))):
            _state(hasher, key)
            _state(hasher, value[key])
    elif isinstance(value, (list, tuple)):
        _atom(hasher, f"list {len(value)}")
        for entry in value:
            _state(hasher, entry)
    elif isinstance(value, (set, frozenset)):
        _state(hasher, sorted(value, key=repr))
    elif isinstance(value, float):
        _atom(hasher, struct.pack("<d", value))
    elif isinstance(value, _ATOMS):
        _atom(hasher, value)
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        _tensor(hasher, value)
    else:
        _atom(hasher, repr(value))


def _atom(hasher: Any, value: Any) -> None:
    data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "backslashreplace")
    hasher.update(f"{type(value).__name__} {len(data)} ".encode())
    hasher.update(data)


def _tensor(hasher: Any, value: Any) -> None:
    shape, dtype = describe(value) if is_array(value) else (tuple(value.shape), str(value.dtype))
    _atom(hasher, f"{dtype} {shape}")
    hasher.update(bytes_of(value))
