"""CRC-32 as zips have it: of large blocks by ISA-L's, where it is installed, which takes a seventh of zlib's time."""

import functools
import zlib
from collections.abc import Callable

Bytes = bytes | bytearray | memoryview
_LARGE = 1 << 17  # bytes: for less it is not worth an import


def crc32(data: Bytes, before: int) -> int:
    """Return the sum of the bytes before, which had the sum ``before`` (0: none), and of the data."""
    return zlib.crc32(data, before) if len(data) < _LARGE else _fastest()(data, before)


@functools.cache
def _fastest() -> Callable[[Bytes, int], int]:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32
    return isal_zlib.crc32
