"""Protocol-buffer wire format, read without a library: varints and the fields of one message, nothing trusted."""

from collections.abc import Iterator


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
