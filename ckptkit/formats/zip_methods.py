"""How the members of a zip are unpacked: the methods that Python's zipfile reads, so what it would run is followed.

Source: APPNOTE.TXT of the zip format, 5.8 (LZMA); lzma-specification.txt (properties).
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from ckptkit.formats.zip_directory import ZipLayoutError

_DEFLATED, _BZIP2, _LZMA = 8, 12, 14
_PROPERTIES = 5
_LEAST_DICTIONARY = 1 << 12
_MOST_DICTIONARY = 1 << 28


def decompressor(method: int, packed: BinaryIO, size: int) -> tuple[int, Callable[[], Any]]:
    """Return where in a packed member its data begin, and what builds an object that unpacks them.

    Args:
        method: the zip's number of the method.
        packed: the member's bytes, seekable.
        size: how many bytes it unpacks to.

    Raises:
        ZipLayoutError: the method is not read, or its properties are damaged.
    """
    if method == _DEFLATED:
        return 0, lambda: zlib.decompressobj(-zlib.MAX_WBITS)
    if method == _BZIP2:
        return 0, bz2.BZ2Decompressor
    if method == _LZMA:
        filters = _lzma_filters(packed, size)
        return 4 + _PROPERTIES, lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    raise ZipLayoutError(f"compression method {method} is not read")


def _lzma_filters(packed: BinaryIO, size: int) -> list[dict[str, int]]:
    packed.seek(0)
    head = packed.read(4 + _PROPERTIES)
    if len(head) < 4 + _PROPERTIES or int.from_bytes(head[2:4], "little") != _PROPERTIES or head[4] >= 9 * 5 * 5:
        raise ZipLayoutError("its LZMA properties are damaged")
    # No distance goes further back than all that there is: a smaller dictionary unpacks the same.
    dictionary = min(int.from_bytes(head[5:9], "little"), size)
    if dictionary > _MOST_DICTIONARY:
        raise ZipLayoutError(f"needs {dictionary} bytes of memory to unpack")
    literal, position = head[4] % 9, head[4] // 9
    numbers = {"lc": literal, "lp": position % 5, "pb": position // 5}
    return [{"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, _LEAST_DICTIONARY), **numbers}]
