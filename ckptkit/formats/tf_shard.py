"""One data file of a bundle: the three ways tensors lie in it, and their checksums, as tensor_bundle.cc writes them."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

from ckptkit.formats.crc32c import extend, mask
from ckptkit.formats.escaped import escaped

DT_STRING = 7
DT_VARIANT = 21
ELEMENT_BYTES = {
    **dict.fromkeys((4, 6, 10, 11, 12, 24, 25, 26, 27, 28), 1),
    **dict.fromkeys((5, 14, 15, 16, 17, 19), 2),
    **dict.fromkeys((1, 3, 13, 22), 4),
    **dict.fromkeys((2, 8, 9, 23), 8),
    18: 16,
}
"""Bytes per element by the number of the dtype; others (strings, variants, what is newer) have no fixed size."""
_BLOCK = 1 << 20


class ShardError(ValueError):
    """A tensor's bytes are not what they should be; ``code`` is the problem's."""

    def __init__(self, message: str, code: str = "bundle-data-damaged") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a bundle's index.

    Attributes:
        key: name in the bundle, for example ``iterator/.ATTRIBUTES/ITERATOR_STATE``.
        dtype: number in TensorFlow's types.proto (9 is int64, 21 is variant).
        shape: the dimensions; None for a slice-only entry, whose data are entries of their own.
        shard: index of the data file.
        offset: first byte in the data file.
        size: bytes in the data file.
        crc32c: masked checksum.
    """

    key: str
    dtype: int
    shape: tuple[int, ...] | None
    shard: int
    offset: int
    size: int
    crc32c: int

    @property
    def label(self) -> str:
        """Its name for people, on one line."""
        return escaped(self.key)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return 0 if self.shape is None else prod(self.shape)


def verify_shard(stream: BinaryIO, length: int, tensors: Sequence[Tensor]) -> Iterator[tuple[str, str]]:
    """Yield ``(code, message)`` for what is wrong with a data file.

    Args:
        stream: the open file.
        length: its size in bytes.
        tensors: those in it, by offset.
    """
    end = 0
    for tensor in tensors:
        if tensor.offset < end:
            yield "bundle-index-damaged", f"{tensor.label} overlaps the tensor before it"
            return
        end = tensor.offset + tensor.size
    if length != end:
        yield "bundle-wrong-length", f"is {length} bytes, the index describes {end}"
        return
    at = 0
    for tensor in tensors:
        try:
            if any(any(piece) for piece in _Region(stream, at, tensor.offset - at).pieces(tensor.offset - at)):
                yield "bundle-data-damaged", f"bytes {at} to {tensor.offset} belong to no tensor and are not zero"
            _verify(stream, tensor)
        except ShardError as error:
            yield error.code, str(error)
        at = tensor.offset + tensor.size


def read_small(stream: BinaryIO, tensor: Tensor) -> bytes:
    """Return the bytes of a tensor of a fixed element size, after comparing its checksum. Raises ShardError."""
    data = b"".join(_Region(stream, tensor.offset, tensor.size).pieces(tensor.size))
    _compare(tensor, extend(0, data))
    return data


def _verify(stream: BinaryIO, tensor: Tensor) -> None:
    region = _Region(stream, tensor.offset, tensor.size)
    try:
        if tensor.dtype == DT_STRING:
            crc = _strings(region, tensor.elements)
        elif tensor.dtype == DT_VARIANT:
            crc = _variants(region, tensor.elements)
        else:
            crc = region.crc(0, tensor.size)
    except ShardError as error:
        raise ShardError(f"{tensor.label}: {error}") from error
    if region.left:
        raise ShardError(f"{tensor.label}: {region.left} bytes more than its elements")
    _compare(tensor, crc)


def _compare(tensor: Tensor, crc: int) -> None:
    if mask(crc) != tensor.crc32c:
        raise ShardError(f"{tensor.label}: the checksum does not match")


def _strings(region: "_Region", elements: int) -> int:
    """All lengths as varints, a masked checksum of them, all bytes; lengths enter the checksum as fixed integers."""
    total = crc = 0
    for _ in range(elements):
        size = region.varint()
        total += size
        crc = extend(crc, struct.pack("<I" if size < 1 << 32 else "<Q", size))
    stored = region.read(4)
    if mask(crc) != int.from_bytes(stored, "little"):
        raise ShardError("the checksum of the string lengths does not match")
    return region.crc(extend(crc, stored), total)


def _variants(region: "_Region", elements: int) -> int:
    """Per element a varint length, the bytes, and the masked checksum of everything so far."""
    crc = 0
    for number in range(elements):
        size = region.varint()
        crc = region.crc(extend(crc, struct.pack("<Q", size)), size)
        stored = region.read(4)
        if mask(crc) != int.from_bytes(stored, "little"):
            raise ShardError(f"the checksum after element {number} does not match")
        crc = extend(crc, stored)
    return crc


class _Region:
    """A part of a file that nothing can read beyond."""

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        stream.seek(offset)
        self._stream = stream
        self.left = size

    def read(self, size: int) -> bytes:
        if size > self.left:
            raise ShardError("an element runs over the end of its tensor")
        data = self._stream.read(size)
        if len(data) != size:
            raise ShardError("the file ends within a tensor", "bundle-wrong-length")
        self.left -= size
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        if size > self.left:
            raise ShardError("an element runs over the end of its tensor")
        while size:
            piece = self.read(min(size, _BLOCK))
            size -= len(piece)
            yield piece

    def crc(self, crc: int, size: int) -> int:
        for piece in self.pieces(size):
            crc = extend(crc, piece)
        return crc

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        if byte >= 0x80 or value > self.left:
            raise ShardError("an element runs over the end of its tensor")
        return value
