"""HDF5 files (Keras weights, robot data), checked without the library: was the file closed, and is all of it there?

HDF5 has no checksums of its content. A half-written file is recognised by its superblock: the address of the end, and a
flag that the writer sets when it opens the file and clears when it closes it.

Source: HDF5 File Format Specification 3.0, section II.A (superblock).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_PLACES = 24  # the superblock may lie at 0, 512, 1024, 2048, ...
_HEAD = 128
_WIDTHS = (2, 4, 8, 16, 32)
_SHORTEST = 14  # bytes of a superblock, before the width of its addresses is known
_OPEN_FOR_WRITING = 1


@dataclass(frozen=True, slots=True)
class _Superblock:
    """What is read from it: flags, and two addresses counted from the beginning of the file."""

    flags: int
    end: int
    root: int


def shows_hdf5(source: Source) -> bool:
    """Return whether the bytes begin as an HDF5 file does."""
    return source.start(len(SIGNATURE)) == SIGNATURE


def check_hdf5(source: Source) -> Iterator[Problem]:
    """Yield what shows that an HDF5 file is not whole."""
    if message := fault(source.stream, source.length):
        yield source.problem("hdf5-damaged", message)


def root_of(source: Source) -> int:
    """Return where the root group of a file is; raises DamagedError if it is not whole, or of a form that is rare."""
    if message := fault(source.stream, source.length):
        raise DamagedError(message)
    head = source.start(_HEAD)
    if head[:8] != SIGNATURE or set(head[13:15] if head[8] < 2 else head[9:11]) != {8}:
        raise DamagedError("begins with something else, or has addresses that are not of 8 bytes: not read")
    return _superblock(head).root


def fault(stream: BinaryIO, length: int) -> str | None:
    """Return what shows that a file of this length is no whole one; None where nothing does."""
    place = _place(stream, length)
    if place is None:
        return f"has no HDF5 superblock in its {length} bytes: not a whole HDF5 file"
    stream.seek(place)
    head = stream.read(_HEAD)
    try:
        block = _superblock(head)
    except ValueError as error:
        return f"has a superblock that cannot be read: {error}"
    if length < block.end:
        return f"is {length} bytes long, but its superblock says {block.end}: cut short"
    if block.flags & _OPEN_FOR_WRITING:
        return "was not closed by what wrote it: only part of it may be there"
    start = b""
    if block.root < length:
        stream.seek(block.root)
        start = stream.read(4)
    if start[:1] != b"\x01" and start != b"OHDR":
        return f"has no root group at byte {block.root}, where its superblock says it is"
    return None


def _place(stream: BinaryIO, length: int) -> int | None:
    place = 0
    for _ in range(_MOST_PLACES):
        if place + len(SIGNATURE) > length:
            return None
        stream.seek(place)
        if stream.read(len(SIGNATURE)) == SIGNATURE:
            return place
        place = place * 2 or 512
    return None


def _superblock(head: bytes) -> _Superblock:
    if len(head) < _SHORTEST:
        raise ValueError("cut short")
    version = head[8]
    if version in (0, 1):
        width, flags, at = head[13], int.from_bytes(head[20:24], "little"), 24 + 4 * version
        places = (2, 5)  # base, free space, end, driver; then the root's entry: name, object header
    elif version in (2, 3):
        width, flags, at = head[9], head[11], 12
        places = (2, 3)  # base, extension, end, root
    else:
        raise ValueError(f"version {version} is unknown")
    if width not in _WIDTHS:
        raise ValueError(f"addresses of {width} bytes")
    if len(head) < at + width * (places[1] + 1):
        raise ValueError("cut short")
    base, end, root = (int.from_bytes(head[at + width * n : at + width * (n + 1)], "little") for n in (0, *places))
    return _Superblock(flags, end, base + root)
