"""Reads the header of a safetensors file and checks every rule of the format, without the library or the tensor data.

Source: the section "Format" of https://github.com/huggingface/safetensors. Stricter than the reference reader where
that accepts what two readers may understand differently, or what harms a person who prints it: duplicate keys,
unprintable names, names that are paths.
"""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ckptkit.errors import DamagedError
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

MAX_HEADER = 16 << 20  # about 150,000 tensors; the reference reader allows 100 MB, which is gigabytes of Python objects
_LIBRARY_MAX_HEADER = 100_000_000
MAX_RANK = 64
_MAX_BYTES = 2**63 - 1
BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E4M3FNUZ": 8, "F8_E5M2": 8, "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8, "I8": 8, "U8": 8, "BF16": 16, "F16": 16, "I16": 16, "U16": 16, "F32": 32, "I32": 32, "U32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""Bits of one element, by the name of its dtype."""


class HeaderError(DamagedError):
    """The file breaks a rule of the format; the message does not name the file."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of the header: dtype name, shape, and the bytes it takes from ``begin`` to ``end`` of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A header that keeps every rule; ``size`` is the length of the file in bytes."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    size: int


def read_header(path: Path) -> Header:
    """Read and check the header.

    Raises:
        HeaderError: not a regular file, or it breaks a rule of the format.
        OSError: it cannot be opened or read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise HeaderError("is not a regular file")
        return _read(stream, status.st_size)


def read_header_of(source: Source) -> Header:
    """Read and check the header of what is in an open file, or in an archive; raises HeaderError."""
    source.stream.seek(0)
    return _read(source.stream, source.length)


def shows_safetensors(source: Source) -> bool:
    """Return whether the bytes begin like such a file: a length, then that many bytes, which begin a JSON object."""
    start = source.start(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LIBRARY_MAX_HEADER


def check_safetensors(source: Source) -> Iterator[Problem]:
    """Yield the first rule of the header, or of its length, that a safetensors file breaks."""
    try:
        read_header_of(source)
    except HeaderError as error:
        yield source.problem("safetensors-header", error.message)


def _read(stream: BinaryIO | FileIO, size: int) -> Header:
    if size < 8:
        raise HeaderError(f"is {size} bytes long, too short for a safetensors header")
    length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER:
        raise HeaderError(f"claims a header of {length} bytes; at most {MAX_HEADER} are read")
    if length > size - 8:
        raise HeaderError(f"claims a header of {length} bytes, but has {size - 8}: cut short")
    raw = stream.read(length)
    if len(raw) != length:
        raise HeaderError("was cut short while it was read")
    return _parse(raw, size)


def _parse(raw: bytes, size: int) -> Header:
    if raw[:1] != b"{":
        raise HeaderError("has a header that does not begin with '{'")
    try:
        fields = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except UnicodeDecodeError as error:
        raise HeaderError(f"has a header that is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise HeaderError("has a header that is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise HeaderError(f"has a header that is not JSON: {error.msg} (character {error.pos})") from error
    metadata = _metadata(fields.pop("__metadata__", {}))
    tensors = {name: _tensor(name, info) for name, info in fields.items()}
    _check_layout(tensors, size - 8 - len(raw))
    return Header(tensors, metadata, size)


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise HeaderError("has a __metadata__ that is not an object")
    for key, text in value.items():
        if not key.isprintable():
            raise HeaderError(f"has the unprintable metadata key {_quoted(key)}")
        if not isinstance(text, str):
            raise HeaderError(f"has metadata {_quoted(key)} that is not text")
    return value


def check_name(name: str) -> None:
    """Raise HeaderError unless the text may name a tensor: printable, not empty, not a path out of a folder."""
    if not name or not name.isprintable():
        raise HeaderError(f"has the unprintable or empty tensor name {_quoted(name)}")
    if name == "__metadata__" or name.startswith("/") or ".." in name.split("/"):
        raise HeaderError(f"has the tensor name {_quoted(name)}, which is reserved or a path")


def _tensor(name: str, info: Any) -> TensorInfo:
    check_name(name)
    quoted = _quoted(name)
    if not isinstance(info, dict) or info.keys() != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"describes {quoted} by fields other than dtype, shape and data_offsets")
    dtype, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise HeaderError(f"gives {quoted} the unknown dtype {_quoted(dtype)}")
    if not _counts(shape) or len(shape) > MAX_RANK:
        raise HeaderError(f"gives {quoted} a shape that is not a list of at most {MAX_RANK} counts")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise HeaderError(f"gives {quoted} data_offsets that are not [begin, end]")
    if prod(max(side, 1) for side in shape) * BITS[dtype] > _MAX_BYTES:
        raise HeaderError(f"gives {quoted} a shape that overflows")
    bits = prod(shape) * BITS[dtype]
    if bits != (offsets[1] - offsets[0]) * 8:
        raise HeaderError(f"gives {quoted} {offsets[1] - offsets[0]} bytes, but its shape and dtype need {bits / 8:g}")
    return TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])


def _check_layout(tensors: dict[str, TensorInfo], available: int) -> None:
    position = 0
    for name, info in sorted(tensors.items(), key=lambda pair: (pair[1].begin, pair[1].end)):
        if info.begin != position:
            kind = "a hole before" if info.begin > position else "an overlap at"
            raise HeaderError(f"has {kind} tensor {_quoted(name)} (byte {info.begin} instead of {position})")
        position = info.end
    if position != available:
        what = "cut short" if position > available else "with bytes that belong to no tensor"
        raise HeaderError(f"needs {position} bytes of data, but has {available}: {what}")


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int for n in value)


def _quoted(value: object) -> str:
    """Return the value as printable ASCII, shortened: nothing from a hostile file reaches a terminal raw."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:76]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [key for key, _ in pairs]
        double = next(key for key in result if names.count(key) > 1)
        raise HeaderError(f"has the key {_quoted(double)} twice in one object")
    return result


def _integer(digits: str) -> int:
    if digits.startswith("-") or len(digits) > 19:
        _no_number(digits)
    return int(digits)


def _no_number(digits: str) -> NoReturn:
    raise HeaderError(f"holds the number {_quoted(digits)} in its header, which is not a 64-bit count")
