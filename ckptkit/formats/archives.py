"""Archives: their contents are looked into just like a bare file."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Protocol, cast

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.sources import Source
from ckptkit.formats.zip_directory import Member
from ckptkit.formats.zips import check_zip_stream, list_members, member_stream
from ckptkit.problem import Problem

MAX_DEPTH = 4
"""An archive in an archive in an archive is odd enough."""
_SPOOLED = 16 << 20
_PACKED_ARCHIVE = 256 << 20
_ODD = frozenset(("zip-hidden-data", "zip-unsupported", "zip-encrypted"))
"""What readers other than a framework's accept: a comment, a member that only they can unpack."""
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")

_SB3_DATA = "data"  # a zip with such a member is loaded by Stable-Baselines3, and every .pth in it by torch


class Look(Protocol):
    """Looks into a source; ``kind`` is what its owner knows it to be."""

    def __call__(self, source: Source, kind: str | None = None, /) -> Iterable[Problem]:
        """Return the problems."""


def cut_short(source: Source, what: str) -> Problem:
    """Return the problem of a file that should be whole but is not."""
    return source.problem("archive-cut-short", f"{what} that ends before its end: cut short")


def shows_zip(source: Source) -> bool:
    """Return whether the content begins like a zip."""
    return source.start(4) in _MAGIC


def members(source: Source) -> Sequence[Member] | None:
    """Return the members that any reader finds in a zip; None where none finds a directory."""
    try:
        return list_members(source.stream, source.length)
    except DamagedError:
        return None


def check_zip(source: Source, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with a zip, and what any of its members would run.

    Args:
        source: the zip.
        look: looks into a member.
    """
    entries = source.once(members) or []
    agent = any(entry.name == _SB3_DATA for entry in entries)
    for problem in check_zip_stream(source.stream, source.length, file=source.file, where=source.where):
        odd = entries and not agent and problem.code in _ODD
        yield replace(problem, severity="warning") if odd else problem
    for entry in entries:
        kind = "torch" if agent and entry.name.endswith(".pth") else None
        yield from look_into_member(source, entry, look, kind)


def look_into_member(source: Source, entry: Member, look: Look, kind: str | None = None) -> Iterator[Problem]:
    """Yield what a look into one member of a zip finds; ``kind`` is what the zip's owner knows it to be."""
    if (not entry.size and kind is None) or entry.name.endswith("/"):
        return
    try:
        stream = member_stream(source.stream, entry)
    except DamagedError as error:
        yield not_looked_into(source, f"member {escaped(entry.name)!r} ({error})")
        return
    inner = source.inner(entry.name, stream, entry.size, stored=entry.compressed)
    if inner.depth > MAX_DEPTH:
        yield not_looked_into(inner, f"is nested in {MAX_DEPTH} archives")
    elif entry.method and shows_zip(inner):
        yield from _unpacked_first(inner, look, kind)
    else:
        yield from look(inner, kind)


def not_looked_into(source: Source, what: str) -> Problem:
    """Return the warning about something that may hold anything."""
    return source.problem("not-looked-into", f"not looked into: {what}", "warning")


def _unpacked_first(source: Source, look: Look, kind: str | None) -> Iterator[Problem]:
    """Look into a packed archive: it is read at random places, which takes a copy of it."""
    if source.length > max(_PACKED_ARCHIVE, source.stored):
        yield not_looked_into(source, f"an archive of {source.length} bytes that is packed into another")
        return
    with tempfile.SpooledTemporaryFile(_SPOOLED) as copy:
        source.stream.seek(0)
        while block := source.stream.read(1 << 20):
            copy.write(block)
        yield from look(replace(source, stream=cast("BinaryIO", copy), length=copy.tell()), kind)
