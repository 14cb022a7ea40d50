"""Compares two outputs of a training step to the last bit, without importing the framework that made them."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 200


def same_output(expected: object, actual: object) -> bool:
    """Return whether two outputs are equal to the last bit: plain values, containers, arrays, or anything with ``==``.

    NaN equals NaN, and ``0.0`` does not equal ``-0.0``: the question is whether a run continued identically.
    """
    left, right = _plain(expected), _plain(actual)
    if _is_array(left) or _is_array(right):
        return _is_array(left) and _is_array(right) and _array_bytes(left) == _array_bytes(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return _same_float(left, right)
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same_output(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same_output, left, right))
    return bool(left == right)


def fingerprint(value: object) -> str:
    """Return a digest that is equal in two processes for outputs that are ``same_output``."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(value):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    plain = _plain(value)
    if _is_array(plain):
        kind, shape, content = _array_bytes(plain)
        yield f"array {kind} {shape}".encode()
        yield content if isinstance(content, bytes) else repr(content).encode()
        return
    yield type(plain).__name__.encode()
    if isinstance(plain, float):
        yield b"nan" if math.isnan(plain) else plain.hex().encode()
    elif isinstance(plain, Mapping):
        yield str(len(plain)).encode()
        yield from sorted(b"".join([*_parts(key), b"=", *_parts(plain[key])]) for key in plain)
    elif isinstance(plain, (list, tuple)):
        yield str(len(plain)).encode()
        for item in plain:
            yield from _parts(item)
    else:
        yield repr(plain).encode()


def short(value: object) -> str:
    """Return a one-line picture of a value for a failure message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(value: Any) -> Any:
    for method in ("detach", "cpu", "numpy"):  # torch tensors have all three, eager TensorFlow tensors the last two
        if callable(getattr(value, method, None)) and not isinstance(value, (Mapping, type)):
            value = getattr(value, method)()
    return value


def _is_array(value: Any) -> bool:
    return callable(getattr(value, "tobytes", None)) and hasattr(value, "shape")


def _array_bytes(value: Any) -> tuple[object, object, object]:
    kind = str(getattr(value, "dtype", getattr(value, "format", None)))
    content = value.tolist() if kind == "object" else value.tobytes()  # object arrays hold addresses
    return kind, tuple(value.shape), content


def _same_float(left: float, right: float) -> bool:
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right and math.copysign(1.0, left) == math.copysign(1.0, right)
