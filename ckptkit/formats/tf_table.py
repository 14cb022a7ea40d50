"""TensorFlow's sorted-string table (the ``.index`` file of a bundle), read whole and strictly, without TensorFlow.

Layout, from tsl/lib/io/{format,block,table_builder}.cc: data blocks, an empty metaindex block, an index block, a
footer of 48 bytes. Each block is followed by one byte of compression type and a masked CRC32C. Nothing else may be in
the file.
"""

import struct
from collections.abc import Iterator

from ckptkit.formats.crc32c import extend, mask
from ckptkit.formats.protobuf import WireError, varint

MAX_FILE_BYTES = 64 << 20
_MAX_KEY_BYTES = 256 << 20  # all keys together, after prefix expansion
_FOOTER = 48
_TRAILER = 5
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)


class TableError(ValueError):
    """The bytes are not a sound table; ``unsupported`` if they may be sound but are beyond this reader."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Return all entries of a table, in the order of their keys.

    Raises:
        TableError: anything is not as TensorFlow writes it.
    """
    try:
        return _read(data)
    except WireError as error:
        raise TableError(str(error)) from error


def _read(data: bytes) -> dict[bytes, bytes]:
    if len(data) < _FOOTER or data[-8:] != MAGIC:
        raise TableError("does not end as a table does (cut short, or another kind of file)")
    footer = data[-_FOOTER:-8]
    meta_at, meta_size, at = _handle(footer, 0)
    index_at, index_size, at = _handle(footer, at)
    if any(footer[at:]):
        raise TableError("the footer's padding is not zero")
    if index_at + index_size + _TRAILER != len(data) - _FOOTER or meta_at + meta_size + _TRAILER != index_at:
        raise TableError("the footer does not point at the blocks before it")
    if list(_entries(_block(data, meta_at, meta_size), [0])):
        raise TableError("holds a metaindex, which bundles do not have", unsupported=True)
    entries: dict[bytes, bytes] = {}
    expected, budget = 0, [0]
    last: bytes | None = None
    for separator, handle in _entries(_block(data, index_at, index_size), budget):
        at, size, end = _handle(handle, 0)
        if at != expected or end != len(handle) or at + size + _TRAILER > meta_at:
            raise TableError("the index does not point at one block after the other")
        expected = at + size + _TRAILER
        for key, value in _entries(_block(data, at, size), budget):
            if (last is not None and key <= last) or key > separator:
                raise TableError("the keys are not in order")
            last = key
            entries[key] = value
    if expected != meta_at:
        raise TableError("holds bytes that no block claims")
    return entries


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return offset, size, at


def _block(data: bytes, at: int, size: int) -> bytes:
    end = at + size
    if end + _TRAILER > len(data) - _FOOTER:
        raise TableError("a block runs over the end")
    (stored,) = struct.unpack_from("<I", data, end + 1)
    if mask(extend(0, data[at : end + 1])) != stored:
        raise TableError(f"the checksum of the block at byte {at} does not match")
    if data[end]:
        raise TableError(f"the block at byte {at} is compressed (type {data[end]})", unsupported=True)
    return data[at:end]


def _entries(block: bytes, budget: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block; ``budget[0]`` counts the bytes of all keys, which prefixes could blow up."""
    if len(block) < 4:
        raise TableError("a block is too short")
    (count,) = struct.unpack_from("<I", block, len(block) - 4)
    limit = len(block) - 4 - 4 * count
    if limit < 0:
        raise TableError("a block's restart points do not fit in it")
    restarts = set(struct.unpack_from(f"<{count}I", block, limit))
    at, key, seen = 0, b"", 0
    body = block[:limit]
    while at < limit:
        start = at
        shared, at = varint(body, at)
        fresh, at = varint(body, at)
        size, at = varint(body, at)
        if shared > len(key) or fresh + size > limit - at:
            raise TableError("an entry runs over the end of its block")
        if start in restarts:
            seen += 1
            if shared:
                raise TableError("a restart point is in the middle of a key")
        budget[0] += shared + fresh
        if budget[0] > _MAX_KEY_BYTES:
            raise TableError(f"more than {_MAX_KEY_BYTES} bytes of keys", unsupported=True)
        key = key[:shared] + body[at : at + fresh]
        at += fresh
        yield key, body[at : at + size]
        at += size
    if seen != len(restarts) and (limit or restarts != {0}):
        raise TableError("a restart point is not at an entry")
