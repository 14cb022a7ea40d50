"""Zips that do not begin where the file does: behind each other in a ``.distcp``, or behind anything else.

``torch.distributed.checkpoint`` stacks what it saves, one zip of ``torch.save`` behind the other. And Python's
``zipfile``, with which Stable-Baselines3 loads, looks for the end record only: it reads a zip at the end of any file.
The end record tells where its zip begins, that is where the one before it ends.

Source: torch/distributed/checkpoint/filesystem.py (``_write_item``); zipfile.py (``_EndRecData``); APPNOTE.TXT
4.3.14-4.3.16.
"""

import struct
from collections.abc import Iterator

from ckptkit.formats.archives import Look, not_looked_into
from ckptkit.formats.sources import Source, window
from ckptkit.problem import Problem

MOST = 100_000
_END = struct.Struct("<4s8x2I2x")  # signature, bytes of the directory, its place
_LOCATOR64_SIZE = 20
_END64 = struct.Struct("<40x2Q")  # bytes of the directory, its place
_COMMENT = (1 << 16) - 1
_FIRST, _DIRECTORY = b"PK\x03\x04", b"PK\x01\x02"


def shows_stacked_zips(source: Source) -> bool:
    """Return whether a zip lies in the file that is not all of it."""
    if source.stored < source.length:
        return False  # packed into an archive: no loader looks for the end of it
    record = _last_record(source)
    start = None if record is None else _start_of(source, record)
    return start is not None and (start > 0 or source.start(4) != _FIRST)


def check_stacked_zips(source: Source, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with each of the zips and what it would run, and that bytes belong to none of them."""
    record = _last_record(source)
    assert record is not None  # it shows
    behind = source.length - record - _END.size
    if behind or not _start_of(source, record):
        what = f"{behind} bytes behind it" if behind else "other bytes in front of its members"
        yield source.problem("zip-hidden-data", f"has a zip in it, with {what}")
        return
    starts: list[int] = []
    end = source.length
    while end and len(starts) < MOST and (start := _start_of(source, end - _END.size)) is not None:
        starts.append(start)
        end = start
    if end and source.start(4) == _FIRST:
        yield source.problem("zip-hidden-data", f"has {end} bytes in front of its zips that belong to none of them")
    elif end:
        yield not_looked_into(source, f"{end} bytes in front of a zip")
    parts = zip(starts[::-1], [*starts[-2::-1], source.length], strict=True)
    for number, (start, end) in enumerate(parts):
        part = window(source.stream, start, end - start)
        yield from look(source.inner(f"part {number}", part, end - start, stored=end - start))


def _last_record(source: Source) -> int | None:
    """Return where the last end record lies, as ``zipfile`` finds it: a comment may follow it, or anything else."""
    tail = source.end(_COMMENT + _END.size)
    place = len(tail) - _END.size
    if place < 0:
        return None
    if not tail.startswith(b"PK\x05\x06", place):
        place = tail.rfind(b"PK\x05\x06")
    return None if place < 0 or len(tail) - place < _END.size else source.length - len(tail) + place


def _start_of(source: Source, record: int) -> int | None:
    """Return the place from which the zip counts whose end record lies here; None if there is none."""
    if record < 0:
        return None
    signature, size, place = _END.unpack(_read(source, record, _END.size))
    if signature != b"PK\x05\x06":
        return None
    directory: int = record - size
    locator = record - _LOCATOR64_SIZE
    if locator >= _END64.size and _read(source, locator, 4) == b"PK\x06\x07":
        record64 = locator - _END64.size
        size, place = _END64.unpack(_read(source, record64, _END64.size))
        directory = record64 - size
    if directory < place or _read(source, directory, 4) not in (_DIRECTORY, b"PK\x05\x06"):
        return None
    start: int = directory - place
    return start


def _read(source: Source, place: int, size: int) -> bytes:
    source.stream.seek(max(0, place))
    return source.stream.read(size).ljust(size, b"\0")
