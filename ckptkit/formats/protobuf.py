"""Protocol-buffer wire format, read without a library: varints and the fields of one message, nothing trusted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO


class WireError(ValueError):
    """The bytes are not a message; the message says why, without naming a file."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return ``(value, position after it)`` of the varint (at most 64 bits) at a position.

    Raises:
        WireError: it runs out of the data, is longer than 64 bits or not in its shortest form.
    """
    value = shift = 0
    while True:
        if at >= len(data):
            raise WireError("a number runs over the end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise WireError("a number is longer than 64 bits")
    if byte == 0 and shift:
        raise WireError("a number is padded")  # no writer does that, but a flipped bit does
    if value >> 64:
        raise WireError("a number is longer than 64 bits")
    return value, at


def signed(value: int) -> int:
    """Return the int64 that a varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield ``(field number, value)`` of one message: an int for varint and fixed fields, bytes for the rest.

    Raises:
        WireError: the message is cut short or uses a wire type that does not exist.
    """
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise WireError(f"unknown wire type {kind}")
        if size > len(data) - at:
            raise WireError("a field runs over the end")
        piece = data[at : at + size]
        at += size
        yield number, piece if kind == 2 else int.from_bytes(piece, "little")


@dataclass(frozen=True, slots=True)
class Field:
    """Where in a stream the value of a field lies; numbers have the size 0."""

    number: int
    offset: int
    size: int


def stream_fields(stream: BinaryIO, offset: int, size: int) -> Iterator[Field]:
    """Yield the fields of a message in a file, without reading what is in them.

    Raises:
        WireError: the message is cut short or uses a wire type that does not exist.
    """
    at, end = offset, offset + size
    while at < end:
        key, at = _stream_varint(stream, at, end)
        number, kind = key >> 3, key & 7
        length = 0
        if kind == 0:
            _, at = _stream_varint(stream, at, end)
        elif kind == 2:
            length, at = _stream_varint(stream, at, end)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise WireError(f"unknown wire type {kind}")
        if length > end - at:
            raise WireError("a field runs over the end")
        yield Field(number, at, length if kind == 2 else 0)
        at += length


def _stream_varint(stream: BinaryIO, at: int, end: int) -> tuple[int, int]:
    stream.seek(at)
    data = stream.read(min(10, end - at))
    value, used = varint(data, 0)
    return value, at + used
