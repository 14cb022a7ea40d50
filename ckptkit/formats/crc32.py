"""CRC-32 as zips have it, by the fastest that is at hand: ISA-L's where it is installed, else that of zlib."""

from collections.abc import Callable

Bytes = bytes | bytearray | memoryview


def _fastest() -> Callable[[Bytes, int], int]:
    try:
        from isal import isal_zlib
    except ImportError:
        import zlib

        return zlib.crc32
    return isal_zlib.crc32


crc32 = _fastest()
"""``crc32(data, before)``: the sum of the bytes before, which had the sum ``before`` (0: none), and of the data."""
