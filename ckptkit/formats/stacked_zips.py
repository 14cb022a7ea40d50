"""Zips that do not begin where the file does: one after the other in a ``.distcp``, or after anything else.

``torch.distributed.checkpoint`` stacks what it saves, one zip of ``torch.save`` behind the other. And Python's
``zipfile``, with which Stable-Baselines3 loads, looks for the end record only: it reads a zip at the end of any file.
The end record tells where its zip begins, that is where the one before it ends. Readers that count from the beginning
of the file instead (torch's) must not find another zip by the same record.

Source: torch/distributed/checkpoint/filesystem.py (``_write_item``); zipfile.py (``_EndRecData``); APPNOTE.TXT
4.3.14-4.3.16.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckptkit.formats.archives import Look, not_looked_into
from ckptkit.formats.sources import Source, window
from ckptkit.problem import Problem

MOST = 100_000
_END = struct.Struct("<4s8x2I2x")  # signature, bytes of the directory, its place
_LOCATOR64 = struct.Struct("<4s4xQ4x")  # signature, place of the ZIP64 end record
_END64 = struct.Struct("<40x2Q")  # bytes of the directory, its place
_COMMENT = (1 << 16) - 1
_EMPTY = b"PK\x05\x06"  # of a zip without members only its end is there
_FIRST, _DIRECTORY, _RECORD64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06"


@dataclass(frozen=True, slots=True)
class _Zip:
    """Where a zip and its tables lie in the file, and where its end records say that the tables do.

    Attributes:
        start: the place from which it counts.
        directory: its directory.
        record64: its ZIP64 end record, if it has one.
        says: the place that its end record gives for the directory.
        says64: the place that it gives for the ZIP64 end record.
    """

    start: int
    directory: int
    record64: int | None
    says: int
    says64: int | None


def shows_stacked_zips(source: Source) -> bool:
    """Return whether the file contains a zip that is only part of it."""
    if source.stored < source.length:
        return False  # packed into an archive: no loader looks for the end of it
    record = _last_record(source)
    last = None if record is None else _zip_at(source, record)
    return last is not None and (last.start > 0 or source.start(4) not in (_FIRST, _EMPTY))


def check_stacked_zips(source: Source, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with each of the zips and what it would run, and that bytes belong to none of them."""
    record = _last_record(source)
    last = None if record is None else _zip_at(source, record)
    if record is None or last is None:
        return
    behind = source.length - record - _END.size
    if behind and source.start(4) == _FIRST and last.start and _is_cut(source, last, record + _END.size):
        yield source.problem("zip-damaged", "is cut short: it begins as a zip whose directory is not there")
        return
    if behind or not last.start:
        what = f"{behind} bytes behind it" if behind else "other bytes in front of its members"
        yield source.problem("zip-hidden-data", f"has a zip in it, with {what}")
        return
    zips = _all(source)
    if _may_be_another(source, zips):
        yield source.problem("zip-hidden-data", "has an end record by which two zips can be found")
        return
    front = zips[0].start
    if front and source.start(4) == _FIRST:
        yield source.problem(
            "zip-hidden-data",
            f"has {front} bytes in front of its zips that belong to none of them: hidden, or of a zip cut short",
        )
    elif front:
        yield not_looked_into(source, f"{front} bytes in front of a zip")
    ends = [*(one.start for one in zips[1:]), source.length]
    for number, (one, end) in enumerate(zip(zips, ends, strict=True)):
        part = window(source.stream, one.start, end - one.start)
        yield from look(source.inner(f"part {number}", part, end - one.start, stored=end - one.start))


def _is_cut(source: Source, last: _Zip, end: int) -> bool:
    """Return whether the last whole zip lies in one that begins with the file, or is followed by the start of one."""
    first = last
    while first.start and (before := _zip_at(source, first.start - _END.size)) is not None:
        first = before
    rest = _read(source, end, min(4, source.length - end))
    return first.start > 0 or rest in (_FIRST[: len(rest)], _DIRECTORY[: len(rest)])


def _all(source: Source) -> list[_Zip]:
    """Return the zips that end where the next one begins, the first one first."""
    zips: list[_Zip] = []
    end = source.length
    while end and len(zips) < MOST and (found := _zip_at(source, end - _END.size)) is not None:
        zips.append(found)
        end = found.start
    return zips[::-1]


def _may_be_another(source: Source, zips: Sequence[_Zip]) -> bool:
    """Return whether a reader that counts from the file's beginning finds tables that are those of none of the zips."""
    last = zips[-1]
    hidden = last.says not in {one.directory for one in zips} and _read(source, last.says, 4) == _DIRECTORY
    if last.says64 is None or last.says64 in {one.record64 for one in zips}:
        return hidden
    return hidden or _read(source, last.says64, 4) == _RECORD64


def _last_record(source: Source) -> int | None:
    """Return where the last end record lies, as ``zipfile`` finds it: a comment may follow it, or anything else."""
    tail = source.end(_COMMENT + _END.size)
    place = len(tail) - _END.size
    if place < 0:
        return None
    if not tail.startswith(b"PK\x05\x06", place):
        place = tail.rfind(b"PK\x05\x06")
    return None if place < 0 or len(tail) - place < _END.size else source.length - len(tail) + place


def _zip_at(source: Source, record: int) -> _Zip | None:
    """Return the zip whose end record is here; None if there is none."""
    if record < 0:
        return None
    signature, size, says = _END.unpack(_read(source, record, _END.size))
    if signature != b"PK\x05\x06":
        return None
    record64 = says64 = None
    end: int = record
    locator = record - _LOCATOR64.size
    if locator >= _END64.size:
        signature, place = _LOCATOR64.unpack(_read(source, locator, _LOCATOR64.size))
        if signature == b"PK\x06\x07":
            end = record64 = locator - _END64.size
            says64 = place
            size, says = _END64.unpack(_read(source, record64, _END64.size))
    directory = end - size
    if directory < says or _read(source, directory, 4) not in (_DIRECTORY, b"PK\x05\x06"):
        return None
    return _Zip(directory - says, directory, record64, says, says64)


def _read(source: Source, place: int, size: int) -> bytes:
    source.stream.seek(max(0, place))
    return source.stream.read(size).ljust(size, b"\0")
