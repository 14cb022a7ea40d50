"""The datasets of an HDF5 file (Keras weights): names, dtypes, shapes and where their numbers lie, without the library.

What h5py and Keras write by default is read: groups by symbol table or by links in their header. A group of thousands
of links in HDF5's newest form is not; the message says so.

Source: HDF5 File Format Specification 3.0, sections II.A (superblock), III (B-trees, heaps), IV.A (object headers).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.hdf5 import root_of
from ckptkit.formats.sources import Source

_NOWHERE = 2**64 - 1
_MOST = 500_000
_MOST_BLOCK = 1 << 20
_LARGEST = 2**63 - 1
_DEEPEST = 32
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _LAYOUT, _CONTINUED, _TABLE = 0x01, 0x02, 0x03, 0x06, 0x08, 0x10, 0x11


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset; ``offset`` is None where its numbers lie in chunks, or nowhere yet."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int | None
    size: int
    big_endian: bool


def datasets(source: Source) -> Iterator[Dataset]:
    """Yield the datasets of a file, group by group.

    Raises:
        DamagedError: it is not whole, or of a form that is not read.
    """
    reader = _Reader(source.stream, source.length)
    waiting = [("", root_of(source))]
    while waiting:
        name, address = waiting.pop()
        messages = reader.messages(address)
        if _DATATYPE in messages and _DATASPACE in messages:
            yield _dataset(name, messages)
            continue
        links = [(f"{name}/{word}" if name else word, place) for word, place in reader.links(messages)]
        waiting += reversed(links)


def _dataset(name: str, messages: dict[int, list[tuple[int, bytes]]]) -> Dataset:
    [(_, space), *_], [(_, kind), *_] = messages[_DATASPACE], messages[_DATATYPE]
    rank, first = space[1], 8 if space[0] == 1 else 4
    shape = struct.unpack_from(f"<{rank}Q", space, first)
    dtype, width, big = _dtype(kind)
    size = prod(shape) * width
    if max(prod(max(side, 1) for side in shape), size) > _LARGEST:
        raise DamagedError("has a dataset that no machine could hold")
    offset = None
    for at, layout in messages.get(_LAYOUT, [])[:1]:
        if layout[0] in (3, 4) and layout[1] == 1:  # one stretch of bytes
            address, there = struct.unpack_from("<2Q", layout, 2)
            offset = address if address != _NOWHERE and there == size else None
        elif layout[0] in (3, 4) and layout[1] == 0 and struct.unpack_from("<H", layout, 2)[0] == size:
            offset = at + 4  # in the header itself
    return Dataset(name, dtype, shape, offset, size if offset is not None else 0, big)


def _dtype(kind: bytes) -> tuple[str, int, bool]:
    """Return the word for a datatype, its bytes, and whether the most significant byte comes first."""
    bits, width = kind[1], int.from_bytes(kind[4:8], "little")
    which = kind[0] & 15
    if which == 0 and width in (1, 2, 4, 8):
        return f"{'int' if bits & 8 else 'uint'}{8 * width}", width, bool(bits & 1)
    if which == 1:
        exponent = kind[13]
        word = "bfloat16" if (width, exponent) == (2, 8) else f"float{8 * width}"
        return word, width, bool(bits & 1)
    if which == 8 and width == 1:  # an enumeration of two: how h5py writes flags
        return "bool", 1, False
    return {3: "string", 9: "string", 6: "record"}.get(which, f"class {which}"), width, False


@dataclass(slots=True)
class _Reader:
    """Reads blocks of a file; each object once, and no more of them than a real file has."""

    stream: BinaryIO
    length: int
    seen: set[int] = field(default_factory=set)

    def block(self, address: int, size: int) -> bytes:
        if size > _MOST_BLOCK or address + size > self.length:
            raise DamagedError(f"points to byte {address + size} of {self.length}: cut short, or damaged")
        self.stream.seek(address)
        return self.stream.read(size)

    def enter(self, address: int) -> bool:
        """Return whether this is the first time that something leads there."""
        if len(self.seen) > _MOST:
            raise DamagedError(f"has more than {_MOST} objects")
        new = address not in self.seen
        self.seen.add(address)
        return new

    def messages(self, address: int) -> dict[int, list[tuple[int, bytes]]]:
        """Return the messages of an object header by type, each with its place; none for one that was read before."""
        found: dict[int, list[tuple[int, bytes]]] = {}
        if not self.enter(address):
            return found
        start = self.block(address, 16)
        if start[:4] == b"OHDR":
            flags = start[5]
            at = address + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
            wide = 1 << (flags & 3)
            blocks = [(at + wide, int.from_bytes(self.block(at, wide), "little"))]
            form, skip = "<BHB", 2 if flags & 4 else 0
        elif start[0] == 1:
            blocks = [(address + 16, int.from_bytes(start[8:12], "little"))]
            form, skip = "<HHB3x", 0
        else:
            raise DamagedError(f"has no object at byte {address}, where one should be")
        head = struct.calcsize(form) + skip
        while blocks:
            at, size = blocks.pop()
            data, place = self.block(at, size), 0
            while place + head <= size:
                kind, length, _ = struct.unpack_from(form, data, place)
                place += head
                body = data[place : place + length]
                if kind == _CONTINUED:
                    further, more = struct.unpack("<2Q", body[:16])
                    if self.enter(further):
                        blocks.append((further + 4, more - 8) if form == "<BHB" else (further, more))
                else:
                    found.setdefault(kind, []).append((at + place, body))
                place += length
        return found

    def links(self, messages: dict[int, list[tuple[int, bytes]]]) -> Iterator[tuple[str, int]]:
        """Yield the names in a group, and where what they name is."""
        for _, table in messages.get(_TABLE, []):
            tree, heap = struct.unpack_from("<2Q", table)
            names = self.block(heap, 32)
            yield from self._entries(tree, int.from_bytes(names[24:32], "little"))
        for _, info in messages.get(_LINK_INFO, []):
            if struct.unpack_from("<Q", info, 10 if info[1] & 1 else 2)[0] != _NOWHERE:
                raise DamagedError("has a group of many links in a form that is not read")
        for _, link in messages.get(_LINK, []):
            flags = link[1]
            at = 2 + (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
            wide = 1 << (flags & 3)
            size = int.from_bytes(link[at : at + wide], "little")
            name = link[at + wide : at + wide + size].decode("utf-8", "replace")
            if not (flags & 8 and link[2]):  # else a link to a name, or to another file
                yield name, struct.unpack_from("<Q", link, at + wide + size)[0]

    def _entries(self, node: int, names: int, depth: int = 0) -> Iterator[tuple[str, int]]:
        """Yield the entries below a node of a group's B-tree, in the order of their names."""
        if not self.enter(node):
            return
        if depth > _DEEPEST:
            raise DamagedError("has a group that is nested deeper than any could be")
        start = self.block(node, 24)
        count = int.from_bytes(start[6:8], "little")
        if start[:4] == b"TREE":
            keys = struct.unpack(f"<{2 * count}Q", self.block(node + 24, 16 * count))
            for child in keys[1::2]:
                yield from self._entries(child, names, depth + 1)
        elif start[:4] == b"SNOD":
            for number in range(count):
                name, header = struct.unpack("<2Q", self.block(node + 8 + 40 * number, 16))
                yield self._text(names + name), header
        else:
            raise DamagedError(f"has no table of names at byte {node}, where one should be")

    def _text(self, address: int) -> str:
        size = min(1024, self.length - address)
        return self.block(address, max(size, 0)).partition(b"\0")[0].decode("utf-8", "replace")
