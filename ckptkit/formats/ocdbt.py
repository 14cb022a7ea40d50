"""OCDBT (TensorStore's database, in which Orbax keeps arrays), checked without the library: lengths and checksums.

Each of its files is a manifest, or nodes one after the other, followed by values that only the database knows.

Source: tensorstore/kvstore/ocdbt/format (``codec_util.cc``: magic, length, content, CRC-32C).
"""

from collections.abc import Iterator

from ckptkit.formats.crc32c import extend
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem

_MANIFEST, _NODES = b"\x0c\xdb\x3a\x2a", (b"\x0c\xdb\x20\xde", b"\x0c\xdb\x1b\x3c")
_HEAD = 12
LEAST = _HEAD + 4
"""No file of data is shorter: it holds a node, or values that are too long to lie in one."""
_BLOCK = 1 << 20
_MOST_NODES = 1 << 16


def shows_ocdbt(source: Source) -> bool:
    """Return whether the bytes begin as a manifest or a node does."""
    return source.start(4) in (_MANIFEST, *_NODES)


def check_ocdbt(source: Source) -> Iterator[Problem]:
    """Yield the first record that is cut short, or does not match its checksum."""
    place = 0
    for _ in range(_MOST_NODES):
        source.stream.seek(place)
        head = source.stream.read(_HEAD)
        if head[:4] not in (_MANIFEST, *_NODES):
            if not place:
                yield source.problem("ocdbt-damaged", "begins with neither a manifest nor a node")
            return
        size = int.from_bytes(head[4:], "little")
        if len(head) < _HEAD or size > source.length - place or size < LEAST:
            yield source.problem("ocdbt-damaged", f"is cut short in the record at byte {place}")
            return
        if not _matches(source, place, size):
            yield source.problem("ocdbt-damaged", f"the checksum of the record at byte {place} does not match")
            return
        if head[:4] == _MANIFEST and source.length > size:
            yield source.problem("ocdbt-damaged", f"has {source.length - size} bytes after the end of the manifest")
            return
        place += size


def _matches(source: Source, place: int, size: int) -> bool:
    source.stream.seek(place)
    crc, left = 0, size - 4
    while left:
        block = source.stream.read(min(left, _BLOCK))
        crc, left = extend(crc, block), left - len(block)
    return source.stream.read(4) == crc.to_bytes(4, "little")
