"""Tar archives: their members are looked into; PyTorch's oldest format is one.

Source: POSIX.1-1988 (ustar) and GNU tar headers; torch/serialization.py (``legacy_load``).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ckptkit.formats import archives
from ckptkit.formats.archives import Look
from ckptkit.formats.escaped import escaped
from ckptkit.formats.sources import Source, window
from ckptkit.problem import Problem

_BLOCK = 512
_CHECKSUM = slice(148, 156)
_SIZE = slice(124, 136)
_KIND = 156
_REGULAR = b"\x000" + b"7"
_NAMING = b"xgLK"  # long names and the like: as with a regular file, the content follows the header
_SUFFIX = ".tar"
_MAGIC_PLACE, _MAGIC = 257, b"ustar"
_OLDEST_TORCH = {"pickle", "storages", "tensors"}


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    size: int
    regular: bool
    filled: bool

    @property
    def behind(self) -> int:
        """Where the next header is."""
        return self.start + -(-self.size // _BLOCK) * _BLOCK


def shows_tar(source: Source) -> bool:
    """Return whether the content begins with the header of a tar archive, of which a cut file may have a part."""
    start = source.start(_BLOCK)
    return _header(start, 0) is not None or (
        _promises(source) and len(start) < _BLOCK and start[_MAGIC_PLACE:][:5] == _MAGIC
    )


def check_tar(source: Source, look: Look) -> Iterator[Problem]:
    """Yield what any of the members would run.

    Args:
        source: the archive.
        look: looks into a member.
    """
    if source.depth >= archives.MAX_DEPTH:
        yield archives.not_looked_into(source, f"is nested in {source.depth} archives")
        return
    if _promises(source) and _is_cut(source):
        yield archives.cut_short(source, "a tar archive")
    names = set()
    for member in _members(source):
        if not member.regular:
            continue
        names.add(member.name.removeprefix("./"))
        stream = window(source.stream, member.start, member.size)
        yield from look(source.inner(member.name, stream, member.size, stored=member.size))
    if names >= _OLDEST_TORCH:
        message = "is in torch's oldest format, a tar of pickles: loading it unpickles them all"
        yield source.problem("torch-legacy-format", message, "unsafe")


def _promises(source: Source) -> bool:
    return source.depth == 0 and source.name.endswith(_SUFFIX)


def _is_cut(source: Source) -> bool:
    """Return whether the file ends in a member, or after one without the zeros that end an archive."""
    behind = 0
    for member in _members(source):
        if member.behind > source.length:
            return member.filled
        behind = member.behind
    source.stream.seek(behind)
    rest = source.stream.read(_BLOCK)
    return len(rest) < _BLOCK and (not rest or any(rest))


def _members(source: Source) -> Iterator[_Member]:
    place = 0
    while place + _BLOCK <= source.length:
        source.stream.seek(place)
        member = _header(source.stream.read(_BLOCK), place)
        if member is None:
            return
        yield member
        place = member.behind


def _header(block: bytes, place: int) -> _Member | None:
    """Return the member that a header describes; None if its checksum says that it is not a header."""
    if len(block) < _BLOCK:
        return None
    wanted = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    size = _number(block[_SIZE])
    if _number(block[_CHECKSUM]) != wanted or not block[0] or size is None or size < 0:
        return None
    name = escaped(block[:100].partition(b"\0")[0].decode("utf-8", "replace"))
    regular = block[_KIND] in _REGULAR
    return _Member(name, place + _BLOCK, size, regular, regular or block[_KIND] in _NAMING)


def _number(field: bytes) -> int | None:
    if field[0] in (0x80, 0xFF):  # GNU: binary
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return None
