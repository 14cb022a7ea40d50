"""CRC32C (Castagnoli), as TensorFlow's bundles carry it: by google-crc32c if installed, else in pure Python."""

import sys
import warnings
from collections.abc import Callable
from functools import cache

_POLYNOMIAL = 0x82F63B78  # RFC 3720, appendix B.4, reflected
_MASK_DELTA = 0xA282EAD8  # tsl/lib/hash/crc32c.h: stored checksums are rotated and shifted


def extend(crc: int, data: bytes) -> int:
    """Return the checksum of what ``crc`` is the checksum of (0: nothing), followed by the data."""
    return _best()(crc, data)


def mask(crc: int) -> int:
    """Return the checksum in the form that bundles and tables store."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def extend_in_python(crc: int, data: bytes) -> int:
    """Do what ``extend`` does without any library: two bytes at a time, a few MB/s."""
    table = _table()
    crc ^= 0xFFFFFFFF
    even = len(data) & ~1
    if sys.byteorder == "little":
        for pair in memoryview(data)[:even].cast("H"):
            crc = table[(crc ^ pair) & 0xFFFF] ^ (crc >> 16)
    else:
        even = 0
    for byte in data[even:]:
        crc = table[((crc ^ byte) & 0xFF) << 8] ^ (crc >> 8)  # in the pair table a zero in front changes nothing
    return crc ^ 0xFFFFFFFF


@cache
def _best() -> Callable[[int, bytes], int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns while it falls back to a slower Python than ours
            import google_crc32c
    except ImportError:
        return extend_in_python
    if google_crc32c.implementation != "c":
        return extend_in_python
    c_extend: Callable[[int, bytes], int] = google_crc32c.extend
    return c_extend


@cache
def _table() -> list[int]:
    single = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        single.append(byte)
    return [single[(single[low] ^ high) & 0xFF] ^ (single[low] >> 8) for high in range(256) for low in range(256)]
