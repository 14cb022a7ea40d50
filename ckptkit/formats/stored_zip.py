"""Writes a zip whose members are stored as they are, through a file that cannot seek; each byte is touched once.

Sizes and sums follow the data of a member (bit 3 of its flags), as in the files of ``torch.save``.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12 (central directory),
4.3.14-4.3.16 (ZIP64 and end records), 4.5.3 (ZIP64 extra field).
"""

import stat
import struct
from dataclasses import dataclass
from io import BufferedIOBase

from ckptkit.formats.crc32 import Bytes, crc32
from ckptkit.formats.zip_records import CENTRAL, END, END64, LOCAL, LOCATOR64, LONG, SHORT

_BLOCK = 1 << 20  # bytes: each is summed, digested and written while it is in the processor's cache
_FIELD = struct.Struct("<2sH")
_FOLLOWS, _UTF8 = 0x8, 0x800
_OLD, _ZIP64 = 20, 45
_UNIX, _MODE = 3 << 8, (stat.S_IFREG | 0o644) << 16
_DATE = 1 << 5 | 1  # 1980-01-01, the first that a zip can say: equal contents are equal files


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    flags: int
    offset: int
    size: int
    crc: int


class StoredZip:
    """A zip that is being written; it is one once ``finish`` has returned.

    Args:
        stream: the open new file.
        alignment: the data of each member begins at a multiple of so many bytes.
    """

    def __init__(self, stream: BufferedIOBase, *, alignment: int = 1) -> None:
        self._stream, self._alignment = stream, alignment
        self._place = 0
        self._members: list[_Member] = []

    def add(self, name: str, *pieces: Bytes) -> None:
        """Write a member from the bytes of the pieces, one after the other; raises OSError."""
        encoded, wholes = name.encode(), [memoryview(piece).cast("B") for piece in pieces]
        offset, size = self._place, sum(map(len, wholes))
        flags = (_FOLLOWS if size else 0) | (0 if name.isascii() else _UTF8)
        extra = self._extra(len(encoded), size)
        header = LOCAL.pack(b"PK\x03\x04", _OLD, flags, 0, 0, _DATE, 0, 0, 0, len(encoded), len(extra))
        self._put(header + encoded + extra)
        crc = 0
        for whole in wholes:
            for begin in range(0, len(whole), _BLOCK):
                block = whole[begin : begin + _BLOCK]
                crc = crc32(block, crc)
                self._put(block)
        if size:
            self._put(struct.pack("<4sI2Q" if max(size, offset) >= LONG else "<4sI2I", b"PK\x07\x08", crc, size, size))
        self._members.append(_Member(encoded, flags, offset, size, crc))

    def finish(self) -> None:
        """Write the table of contents; raises OSError."""
        start, count = self._place, len(self._members)
        for member in self._members:
            self._put(_entry(member))
        end, length = self._place, self._place - start
        if count >= SHORT or end >= LONG:
            fields = (END64.size - 12, _ZIP64, _ZIP64, 0, 0, count, count, length, start)
            self._put(END64.pack(b"PK\x06\x06", *fields) + LOCATOR64.pack(b"PK\x06\x07", 0, end, 1))
        few = min(count, SHORT)
        self._put(END.pack(b"PK\x05\x06", 0, 0, few, few, min(length, LONG), min(start, LONG), 0))

    def _extra(self, name: int, size: int) -> bytes:
        """Return the extra fields of a local header: large numbers, and what puts the data where it shall begin.

        torch computes where members lie instead of looking: the fields are as long as those that it writes.
        """
        field = _large_field(size, size, self._place)
        if self._alignment == 1:
            return field
        start = self._place + LOCAL.size + name + len(field) + _FIELD.size
        filling = -start % self._alignment
        return field + _FIELD.pack(b"FB", filling) + b"Z" * filling

    def _put(self, data: Bytes) -> None:
        self._place += self._stream.write(data)


def _entry(member: _Member) -> bytes:
    """Return the line of a member in the table of contents."""
    extra = _large_field(member.size, member.size, member.offset)
    size, offset = min(member.size, LONG), min(member.offset, LONG)
    needs = _ZIP64 if extra else _OLD
    fields = (_UNIX | needs, needs, member.flags, 0, 0, _DATE, member.crc, size, size)
    header = CENTRAL.pack(b"PK\x01\x02", *fields, len(member.name), len(extra), 0, 0, 0, _MODE, offset)
    return header + member.name + extra


def _large_field(*numbers: int) -> bytes:
    """Return the ZIP64 field of those numbers that need one; empty if none does."""
    large = [number for number in numbers if number >= LONG]
    return _FIELD.pack(b"\1\0", 8 * len(large)) + struct.pack(f"<{len(large)}Q", *large) if large else b""
