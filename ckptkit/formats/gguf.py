"""GGUF files (llama.cpp models), checked without a library: header, settings, and that every tensor's data are there.

Source: ggml/docs/gguf.md, ggml/src/ggml.c (``type_traits``: values and bytes of each block).
"""

import struct
from collections.abc import Iterator
from math import prod
from typing import BinaryIO

from ckptkit.formats.escaped import escaped
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

SIGNATURE = b"GGUF"
_VERSIONS = (2, 3)
_MAX_TENSORS = 1 << 20
_MAX_SETTINGS = 1 << 16
_MAX_NAME = 1 << 16
_MAX_RANK = 8
_MAX_DEPTH = 4
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY, _U32 = 8, 9, 4
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""By type: how many values and how many bytes a block has."""


class _GgufError(ValueError):
    """What is wrong with the file."""


def shows_gguf(source: Source) -> bool:
    """Return whether the bytes begin as a GGUF file does."""
    return source.start(len(SIGNATURE)) == SIGNATURE


def check_gguf(source: Source) -> Iterator[Problem]:
    """Yield what shows that a GGUF file is not whole."""
    source.stream.seek(0)
    reader = _Reader(source.stream, source.length)
    try:
        if reader.bytes(4) != SIGNATURE:
            raise _GgufError("does not begin with GGUF")
        version = reader.number("<I")
        if version in _VERSIONS:
            _check(reader)
        else:  # a big-endian one has a huge number
            message = f"is of GGUF version {version}, which is not looked into"
            yield source.problem("gguf-not-checked", message, "warning")
    except _GgufError as fault:
        yield source.problem("gguf-damaged", str(fault))


class _Reader:
    """Numbers and text of the header; nothing is read beyond the end."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream, self.length = stream, length

    @property
    def place(self) -> int:
        return self._stream.tell()

    def bytes(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise _GgufError("ends within its header: cut short")
        return data

    def skip(self, size: int) -> None:
        if size > self.length - self.place:
            raise _GgufError("ends within its header: cut short")
        self._stream.seek(size, 1)

    def number(self, form: str) -> int:
        value: int = struct.unpack(form, self.bytes(struct.calcsize(form)))[0]
        return value

    def text(self) -> str:
        size = self.number("<Q")
        if size > _MAX_NAME:
            raise _GgufError(f"has a name of {size} bytes in its header")
        return self.bytes(size).decode("utf-8", "replace")


def _check(reader: _Reader) -> None:
    """Follow the header from its version to the end, and check that the data of every tensor are there."""
    tensors, settings = reader.number("<Q"), reader.number("<Q")
    if tensors > _MAX_TENSORS or settings > _MAX_SETTINGS:
        raise _GgufError(f"claims {tensors} tensors and {settings} settings")
    alignment = 32
    for _ in range(settings):
        key, kind = reader.text(), reader.number("<I")
        if key == "general.alignment" and kind == _U32:
            alignment = reader.number("<I") or 1
        else:
            _skip_value(reader, kind)
    described = [_tensor(reader) for _ in range(tensors)]
    start = last = -(-reader.place // alignment) * alignment
    for name, offset, size in described:
        end = start + offset + (size or 0)
        if end > reader.length:
            raise _GgufError(f"needs {end} bytes for its tensor {escaped(name)!r}, but has {reader.length}: cut short")
        last = max(last, end)
    if last < reader.length < -(-last // alignment) * alignment:  # a writer pads to the full length, or not at all
        raise _GgufError(f"ends at byte {reader.length}, within the padding of its last tensor: cut short")


def _skip_value(reader: _Reader, kind: int, depth: int = 0) -> None:
    if kind in _SIZES:
        reader.skip(_SIZES[kind])
    elif kind == _TEXT:
        reader.skip(reader.number("<Q"))
    elif kind == _ARRAY and depth < _MAX_DEPTH:
        element, count = reader.number("<I"), reader.number("<Q")
        if element in _SIZES:
            reader.skip(_SIZES[element] * count)
            return
        for _ in range(count):  # each takes bytes, so that the file's own length is the limit
            _skip_value(reader, element, depth + 1)
    else:
        raise _GgufError(f"has a setting of unknown type {kind}")


def _tensor(reader: _Reader) -> tuple[str, int, int | None]:
    """Return name, offset from the beginning of the data, and bytes (None for a type that is not known here)."""
    name, rank = reader.text(), reader.number("<I")
    if rank > _MAX_RANK:
        raise _GgufError(f"has a tensor {escaped(name)!r} of {rank} dimensions")
    shape = [reader.number("<Q") for _ in range(rank)]
    kind, offset = reader.number("<I"), reader.number("<Q")
    values, size = _BLOCKS.get(kind, (0, 0))
    return name, offset, -(-prod(shape) // values) * size if values else None
