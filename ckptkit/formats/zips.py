"""Zip files, checked without extracting: every byte accounted for, every CRC verified, bombs and tricks refused."""

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats import just_written, zip_methods
from ckptkit.formats.crc32 import crc32
from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.sources import unpacked, window
from ckptkit.formats.zip_directory import (
    DESCRIPTOR_FLAG,
    Directory,
    LocalHeader,
    Member,
    ZipLayoutError,
    find_directory,
    read_directory,
    read_local_header,
)
from ckptkit.problem import Problem, Severity

MAX_RATIO = 200
RATIO_FROM = 1 << 20
"""Members of fewer bytes may have any ratio: a few zeros compress 1000:1 and do no harm."""
_TOTAL_RATIO_FROM = 256 << 20
_BLOCK = 1 << 20
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DESCRIPTORS = (12, 16, 20, 24)  # with or without signature, 32 or 64 bit sizes
_DRIVE = 2


def check_zip(
    source: Path | bytes,
    *,
    file: str,
    where: str = "",
    max_members: int | None = None,
    max_ratio: int = MAX_RATIO,
    ratio_from: int = RATIO_FROM,
) -> list[Problem]:
    """Check the structure and every CRC of a zip file; memory stays bounded whatever the file claims.

    Args:
        source: the file, or the bytes of a zip inside another.
        file: name for the problems.
        where: locator put in front of each message, for a zip inside another.
        max_members: more are not even listed; if not given, as many as have room in the file.
        max_ratio: largest uncompressed : compressed of a member.
        ratio_from: uncompressed bytes from which the ratio counts.

    Returns:
        The problems, in the order of the members; empty for a sound zip.
    """
    try:
        with opened(source) as (stream, length):
            return check_zip_stream(
                stream,
                length,
                file=file,
                where=where,
                max_members=max_members,
                max_ratio=max_ratio,
                ratio_from=ratio_from,
            )
    except (DamagedError, OSError) as error:
        return [Problem("zip-damaged", f"cannot be read ({reason(error)})", file)]


def check_zip_stream(
    stream: BinaryIO,
    length: int,
    *,
    file: str,
    where: str = "",
    max_members: int | None = None,
    max_ratio: int = MAX_RATIO,
    ratio_from: int = RATIO_FROM,
) -> list[Problem]:
    """Check a zip of ``length`` bytes in an open stream; see ``check_zip``. Raises OSError."""
    found = _Findings(file, where)
    try:
        directory = read_directory(stream, length, max_members=max_members)
        total = sum(entry.size for entry in directory.entries)
        if total > max(_TOTAL_RATIO_FROM, max_ratio * length):
            found.add("zip-bomb", f"{length} bytes would unpack to {total} ({total // length}:1)")
        if found.problems:
            return found.problems
        _check_names(directory.entries, found)
        headers = _check_layout(stream, directory, found)
        for entry, header in zip(directory.entries, headers, strict=True):
            _check_member(stream, entry, header, found, max_ratio, ratio_from)
    except ZipLayoutError as error:
        found.add(error.code, str(error))
    return found.problems


def list_members(stream: BinaryIO, length: int) -> list[Member]:
    """Return the members that any reader finds in a zip; raises DamagedError when none finds a directory."""
    try:
        return read_directory(stream, length).entries
    except ZipLayoutError as error:
        try:
            return find_directory(stream, length).entries
        except ZipLayoutError:
            raise DamagedError(str(error)) from error


def read_entry(stream: BinaryIO, entry: Member, *, limit: int, check_crc: bool = True) -> bytes:
    """Return at most ``limit`` bytes from the beginning of a member.

    The CRC is compared when the whole member was read. A scanner turns that off: torch reads members whose CRC is
    wrong or whose flags say "encrypted", so what is in them counts.

    Raises:
        DamagedError: the member cannot be unpacked.
    """
    parts: list[bytes] = []
    crc = got = 0
    try:
        header = read_local_header(stream, entry)
        for block in _content(stream, entry, header.data):
            parts.append(block)
            crc = crc32(block, crc)
            got += len(block)
            if got > limit:
                break
    except (ZipLayoutError, zlib.error) as error:
        if not parts or check_crc:
            raise DamagedError(f"member {escaped(entry.name)!r}: {error}") from error
    if check_crc and got <= limit and (crc != entry.crc or got != entry.size):
        raise DamagedError(f"member {escaped(entry.name)!r}: wrong CRC or size")
    return b"".join(parts)[:limit]


def read_member(path: Path, name: str, *, max_bytes: int) -> bytes:
    """Return the whole content of the one member of that name.

    Raises:
        DamagedError: no such member, two of them, larger than ``max_bytes``, encrypted, damaged, or not a zip.
    """
    try:
        with opened(path) as (stream, length):
            entries = [entry for entry in list_members(stream, length) if entry.name == name]
            if len(entries) != 1:
                raise DamagedError("is missing" if not entries else f"is there {len(entries)} times")
            entry = entries[0]
            if entry.size > max_bytes:
                raise DamagedError(f"is too large: {entry.size} bytes, at most {max_bytes} are read")
            if entry.flags & _ENCRYPTED:
                raise DamagedError("is encrypted")
            return read_entry(stream, entry, limit=max_bytes)
    except DamagedError as error:
        raise DamagedError(f"{path.name}: member {escaped(name)!r}: {error}") from error
    except OSError as error:
        raise DamagedError(f"{path.name}: cannot be read ({reason(error)})") from error


def member_stream(stream: BinaryIO, entry: Member) -> BinaryIO:
    """Return the content of a member as a seekable stream of bounded memory; a step back in a packed one costs much.

    CRC and flags play no part: torch reads members whose CRC is wrong or whose flags say "encrypted".

    Raises:
        DamagedError: it has no local header, or is packed in a way that is not read.
    """
    try:
        header = read_local_header(stream, entry)
        packed = window(stream, header.data, entry.compressed)
        if entry.method == _STORED:
            return packed
        start, decompressor = zip_methods.decompressor(entry.method, packed, entry.size)
    except ZipLayoutError as error:
        raise DamagedError(str(error)) from error
    return unpacked(window(stream, header.data + start, entry.compressed - start), decompressor, entry.size)


class _Findings:
    """Collects problems of one file, each message with the locator in front."""

    def __init__(self, file: str, where: str) -> None:
        self.problems: list[Problem] = []
        self._file, self._where = file, f"{where}: " if where else ""

    def was_summed(self, entry: Member) -> bool:
        return not self._where and just_written.was_summed(entry, self._file)

    def add(self, code: str, message: str, severity: Severity = "error") -> None:
        self.problems.append(Problem(code, self._where + message, self._file, severity=severity))


def _check_names(entries: list[Member], found: _Findings) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = f"member {escaped(entry.name)!r}"
        why = _unsafe_name(entry.name)
        if why:
            found.add("zip-unsafe-name", f"{name}: {why}", "unsafe")
        kind = stat.S_IFMT(entry.mode)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
            found.add("zip-special-member", f"{name}: is {what}", "unsafe")
        # Readers differ in which of the two they take (torch compares without case), so a payload can hide in one.
        folded = entry.name.casefold()
        if folded in seen:
            found.add("zip-duplicate-member", f"{name}: appears twice", "unsafe")
        seen.add(folded)


def _unsafe_name(name: str) -> str | None:
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or "\\" in name or name[1:_DRIVE] == ":":
        return "is not a relative path with forward slashes"
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty, '.' or '..' part"
    if not name.isprintable():
        return "has control characters"
    return None


def _check_layout(stream: BinaryIO, directory: Directory, found: _Findings) -> list[LocalHeader | None]:
    """Compare both headers of each member, and account for every byte in front of the directory."""
    headers: dict[int, LocalHeader | None] = {}
    place = 0
    order = sorted(range(len(directory.entries)), key=lambda i: directory.entries[i].offset)
    for index in order:
        entry = directory.entries[index]
        name = f"member {escaped(entry.name)!r}"
        headers[index] = header = _local_header(stream, entry, name, found)
        if entry.offset < place:
            found.add("zip-overlap", f"{name}: overlaps another member")
            headers[index] = None
        elif entry.offset > place:
            found.add("zip-hidden-data", f"{name}: {entry.offset - place} bytes in front of it belong to no member")
        if header is None:
            place = max(place, entry.offset)
            continue
        place = max(place, header.data + entry.compressed)
        if entry.flags & DESCRIPTOR_FLAG and place <= directory.start:  # else it overlaps, and may be out of reach
            place += _descriptor(stream, place, entry)
    if place > directory.start:
        found.add("zip-overlap", "the last member overlaps the directory")
    elif place < directory.start and None not in headers.values():
        found.add("zip-hidden-data", f"{directory.start - place} bytes after the last member belong to none")
    return [headers[index] for index in range(len(directory.entries))]


def _local_header(stream: BinaryIO, entry: Member, name: str, found: _Findings) -> LocalHeader | None:
    try:
        header = read_local_header(stream, entry)
    except ZipLayoutError as error:
        found.add("zip-damaged", f"{name}: {error}")
        return None
    numbers = (header.crc, header.compressed, header.size)
    expected = (entry.crc, entry.compressed, entry.size)
    deferred = entry.flags & DESCRIPTOR_FLAG and not any(numbers)
    same = (header.name, header.flags, header.method) == (entry.name, entry.flags, entry.method)
    if not same or (numbers != expected and not deferred):
        found.add("zip-header-mismatch", f"{name}: its two headers differ")
    return header


def _descriptor(stream: BinaryIO, place: int, entry: Member) -> int:
    """Return the length of the data descriptor at the place: the one whose fields are this member's."""
    stream.seek(place)
    data = stream.read(max(_DESCRIPTORS))
    for length in reversed(_DESCRIPTORS):
        signature = b"PK\x07\x08" if length in (16, 24) else b""
        width = 8 if length >= 20 else 4
        fields = entry.crc.to_bytes(4, "little")
        try:
            fields += entry.compressed.to_bytes(width, "little") + entry.size.to_bytes(width, "little")
        except OverflowError:
            continue
        if data[:length] == signature + fields:
            return length
    return 0


def _check_member(
    stream: BinaryIO, entry: Member, header: LocalHeader | None, found: _Findings, max_ratio: int, ratio_from: int
) -> None:
    name = f"member {escaped(entry.name)!r}"
    if entry.flags & _ENCRYPTED:
        found.add("zip-encrypted", f"{name}: is encrypted")
    elif entry.method not in (_STORED, _DEFLATED):
        found.add("zip-unsupported", f"{name}: compression method {entry.method} is not compared with its CRC")
    elif entry.size > ratio_from and entry.size > max_ratio * entry.compressed:
        ratio = entry.size // max(1, entry.compressed)
        found.add("zip-bomb", f"{name}: {entry.compressed} bytes would unpack to {entry.size} ({ratio}:1)")
    elif entry.name.endswith("/") and entry.size:
        found.add("zip-damaged", f"{name}: is a folder with content")
    elif header is not None and not found.was_summed(entry):
        crc = got = 0
        try:
            for block in _content(stream, entry, header.data):
                crc = crc32(block, crc)
                got += len(block)
        except (ZipLayoutError, zlib.error) as error:
            found.add("zip-damaged", f"{name}: {error}")
            return
        if crc != entry.crc:
            found.add("zip-bad-crc", f"{name}: its content does not match its CRC")
        elif got != entry.size:
            found.add("zip-damaged", f"{name}: unpacks to {got} bytes instead of {entry.size}")


def _content(stream: BinaryIO, entry: Member, start: int) -> Iterator[bytes]:
    """Yield the content in blocks; stops with an error as soon as it exceeds what the directory promises."""
    stream.seek(start)
    left = entry.compressed
    unpack = _Inflate(entry.size) if entry.method == _DEFLATED else None
    while left:
        data = stream.read(min(_BLOCK, left))
        if not data:
            raise ZipLayoutError("is truncated")
        left -= len(data)
        if unpack is None:
            yield data
        else:
            yield from unpack.blocks(data)
    if unpack is not None:
        yield from unpack.blocks(b"")
        unpack.finish()


class _Inflate:
    """Raw deflate with a promise of size that is held at every block."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def blocks(self, data: bytes) -> Iterator[bytes]:
        while not self._inflate.eof:
            # One byte more than promised may come out: it shows the lie.
            block = self._inflate.decompress(data, min(_BLOCK, self._left + 1))
            self._left -= len(block)
            if self._left < 0:
                raise ZipLayoutError("unpacks to more than it claims")
            data = self._inflate.unconsumed_tail
            yield block
            if not block and not data:
                return
        if data or self._inflate.unused_data:
            raise ZipLayoutError("has bytes after the end of its compressed data")

    def finish(self) -> None:
        if not self._inflate.eof:
            raise ZipLayoutError("has an unfinished compressed stream")
