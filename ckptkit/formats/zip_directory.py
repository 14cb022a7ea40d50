"""The table of contents of a zip file, read strictly: what two zip readers could understand differently is refused.

The stdlib's ``zipfile`` builds an object per entry before anything can be counted, trusts the central directory alone
and tolerates data before, between and after the members; payloads hide there. This reader needs bounded memory,
compares both headers of every member and knows the place of every byte.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.9 (data descriptor), 4.3.12 (central directory),
4.3.14-4.3.16 (ZIP64 and end records), 4.5.3 (ZIP64 extra field).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ckptkit.formats.zip_records import CENTRAL, END, END64, LOCAL, LOCATOR64, LONG, SHORT

_MEMBERS = 10_000
_MEMBER_BYTES = 100  # two headers and a name: a large file may have as many members as have room in it,
_MOST_MEMBERS = 1_000_000  # but no more than this
_MOST_DIRECTORY = 256 << 20
_TAIL = (1 << 16) + 22
DESCRIPTOR_FLAG = 0x8
_UTF8_FLAG = 0x800
_NEWEST = 63
_ZIP64_FIELD, _UNICODE_PATH_FIELD = 0x0001, 0x7075

_FURTHEST = 2**63 - 1
"""The last place that can be sought in a file."""


class ZipLayoutError(ValueError):
    """The file is not a zip whose table of contents can be read; ``code`` is that of the problem."""

    def __init__(self, message: str, code: str = "zip-damaged") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Member:
    """One member as the central directory tells it.

    Attributes:
        name: its name.
        flags: general purpose bits.
        method: 0 stored, 8 deflated.
        crc: CRC-32 of the content.
        compressed: bytes in the file.
        size: bytes of the content.
        offset: where its local header starts.
        mode: Unix mode, 0 if the writer gave none.
    """

    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    mode: int


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """The second description of a member, in front of its data; ``data`` is where the data starts."""

    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    data: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The whole table; ``start`` is where it begins, that is where the members must end."""

    entries: list[Member]
    start: int


def read_directory(stream: BinaryIO, length: int, *, max_members: int | None = None) -> Directory:
    """Read the table of contents of a zip file of ``length`` bytes.

    Args:
        stream: the file.
        length: its length.
        max_members: more are not read; if not given, as many as have room in the file.

    Raises:
        ZipLayoutError: no zip, truncated, something after it, or too many members.
    """
    count, size, start = _end_record(stream, length)
    return Directory(list(_entries(_table(stream, length, count, size, start, max_members), count)), start)


def find_directory(stream: BinaryIO, length: int) -> Directory:
    """Read the table of contents as lenient readers do: the last one there is, whatever follows it.

    Raises:
        ZipLayoutError: no reader finds one.
    """
    tail = _read(stream, max(0, length - _TAIL), min(length, _TAIL))
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END.size:
        raise ZipLayoutError("is not a zip file, or is truncated")
    end = max(0, length - _TAIL) + place
    _, _, _, _, count, size, start, _ = END.unpack_from(tail, place)
    if _has_locator(stream, end):
        end -= LOCATOR64.size + END64.size
        fields = END64.unpack(_read(stream, end, END64.size))
        if fields[0] == b"PK\x06\x06":
            count, size, start = fields[7:]
        else:
            end += LOCATOR64.size + END64.size
    if start + size != end:  # zips behind other bytes are another kind
        raise ZipLayoutError("is truncated: its directory does not fit in front of its end")
    table = _table(stream, length, count, size, start, None)
    return Directory(list(_entries(table, count, lenient=True)), start)


def _table(stream: BinaryIO, length: int, count: int, size: int, start: int, max_members: int | None) -> bytes:
    """Return the bytes of the directory, if it is not larger than the file warrants."""
    if max_members is None:
        max_members = max(_MEMBERS, min(length // _MEMBER_BYTES, _MOST_MEMBERS))
    if count > max_members or size > min(length, _MOST_DIRECTORY):
        raise ZipLayoutError(f"has {count} members, at most {max_members} are read", "zip-too-large")
    return _read(stream, start, size)


def read_local_header(stream: BinaryIO, entry: Member) -> LocalHeader:
    """Read the header in front of a member's data; raises ZipLayoutError if there is none."""
    fixed = _read(stream, entry.offset, LOCAL.size)
    signature, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = LOCAL.unpack(fixed)
    if signature != b"PK\x03\x04":
        raise ZipLayoutError("has no local header where the directory says")
    rest = _read(stream, entry.offset + LOCAL.size, name_length + extra_length)
    name, extra = _decode(rest[:name_length], flags), rest[name_length:]
    size, compressed, _ = _zip64(extra, size, compressed, 0)
    return LocalHeader(name, flags, method, crc, compressed, size, entry.offset + LOCAL.size + len(rest))


def _end_record(stream: BinaryIO, length: int) -> tuple[int, int, int]:
    """Return (members, bytes of the directory, its offset) from the record that must be the last bytes of the file."""
    if length == 0:
        raise ZipLayoutError("is empty")
    if length < END.size:
        raise ZipLayoutError("is not a zip file, or is truncated")
    end = length - END.size
    signature, disk, first_disk, here, count, size, start, comment = END.unpack(_read(stream, end, END.size))
    if signature != b"PK\x05\x06" or comment:
        tail = _read(stream, max(0, length - SHORT - END.size), min(length, SHORT + END.size))
        place = tail.rfind(b"PK\x05\x06")
        extra = len(tail) - place - END.size
        if place < 0 or extra <= 0:
            raise ZipLayoutError("is not a zip file, or is truncated")
        _, _, _, _, _, size, start, _ = END.unpack_from(tail, place)
        if start + size < length - len(tail) + place - LOCATOR64.size - END64.size:
            raise ZipLayoutError("is cut short: its directory is not there, only that of a zip in it")
        raise ZipLayoutError(f"has {extra} bytes after the end of the zip", "zip-hidden-data")
    if SHORT in (here, count) or LONG in (size, start) or _has_locator(stream, end):
        end, disk, first_disk, here, count, size, start = _end_record64(stream, end)
    if disk or first_disk or here != count:
        raise ZipLayoutError("is one part of a zip split over several files")
    if start + size > end:
        raise ZipLayoutError("is truncated: its directory does not fit in front of its end")
    if start + size < end:
        raise ZipLayoutError(f"has {end - start - size} bytes in front that belong to no member", "zip-hidden-data")
    return count, size, start


def _has_locator(stream: BinaryIO, end: int) -> bool:
    return end >= LOCATOR64.size and _read(stream, end - LOCATOR64.size, 4) == b"PK\x06\x07"


def _end_record64(stream: BinaryIO, end: int) -> tuple[int, int, int, int, int, int, int]:
    locator = end - LOCATOR64.size
    if not _has_locator(stream, end):
        raise ZipLayoutError("is a ZIP64 file without its ZIP64 end record")
    _, _, place, _ = LOCATOR64.unpack(_read(stream, locator, LOCATOR64.size))
    if place + END64.size != locator:
        raise ZipLayoutError("has a ZIP64 end record that is not where it says")
    fields = END64.unpack(_read(stream, place, END64.size))
    signature, _, _, _, disk, first_disk, here, count, size, start = fields
    if signature != b"PK\x06\x06":
        raise ZipLayoutError("has no ZIP64 end record where its locator says")
    return place, disk, first_disk, here, count, size, start


def _entries(table: bytes, count: int, *, lenient: bool = False) -> Iterator[Member]:
    place = 0
    for _ in range(count):
        if place + CENTRAL.size > len(table):
            raise ZipLayoutError(f"has a directory of fewer members than the {count} it counts")
        fields = CENTRAL.unpack_from(table, place)
        signature, _, needs, flags, method, _, _, crc, compressed, size, n, e, c, _, _, external, offset = fields
        if signature != b"PK\x01\x02":
            raise ZipLayoutError("has a damaged directory")
        if needs & 0xFF > _NEWEST and not lenient:
            raise ZipLayoutError(f"needs a reader of zip version {(needs & 0xFF) / 10}", "zip-unsupported")
        body = table[place + CENTRAL.size : place + CENTRAL.size + n + e + c]
        if len(body) != n + e + c:
            raise ZipLayoutError("has a truncated directory")
        size, compressed, offset = _zip64(body[n : n + e], size, compressed, offset, lenient=lenient)
        if max(size, compressed, offset) > _FURTHEST:
            raise ZipLayoutError("has a member that reaches beyond all files")
        # The upper half is a Unix mode whoever made it: some readers do not look at made_by, so neither do we.
        name = body[:n].decode("utf-8", "replace") if lenient else _decode(body[:n], flags)
        yield Member(name, flags, method, crc, compressed, size, offset, external >> 16)
        place += CENTRAL.size + len(body)
    if place != len(table) and not lenient:
        raise ZipLayoutError(f"has a directory of more than the {count} members it counts")


def _zip64(extra: bytes, size: int, compressed: int, offset: int, *, lenient: bool = False) -> tuple[int, int, int]:
    """Return the three numbers with those that are all ones replaced from the ZIP64 extra field (4.5.3)."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == _UNICODE_PATH_FIELD and not lenient:
            raise ZipLayoutError("has a second name for a member in an extra field", "zip-header-mismatch")
        if kind == _ZIP64_FIELD:
            numbers = list(struct.unpack_from(f"<{length // 8}Q", extra.ljust(place + 4 + length, b"\0"), place + 4))
            wanted = [value == LONG for value in (size, compressed, offset)]
            if len(numbers) < sum(wanted):
                raise ZipLayoutError("has a damaged ZIP64 field")
            size, compressed, offset = (
                numbers.pop(0) if w else v for w, v in zip(wanted, (size, compressed, offset), strict=True)
            )
        place += 4 + length
    return size, compressed, offset


def _decode(name: bytes, flags: int) -> str:
    if flags & _UTF8_FLAG:
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ZipLayoutError("has a member name that is not UTF-8") from error
    return name.decode("cp437")


def _read(stream: BinaryIO, offset: int, size: int) -> bytes:
    if not 0 <= offset <= _FURTHEST:  # no file reaches there
        raise ZipLayoutError("is truncated")
    stream.seek(offset)
    data = stream.read(size)
    if len(data) != size:
        raise ZipLayoutError("is truncated")
    return data
