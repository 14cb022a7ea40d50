"""Files that are packed as a whole, and archives that are not looked into.

``joblib.load`` and ``pandas.read_pickle`` unpack whatever they are given without asking, so what is in a packed file is
followed as it is unpacked. Nothing is kept: memory is bounded, and so is what is unpacked.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ckptkit.formats import archives, tars
from ckptkit.formats.loose_pickles import check_anything
from ckptkit.formats.sources import Source, unpacked, window
from ckptkit.problem import Problem

_MOST = 1 << 30
_MOST_RATIO = 200
_UNKNOWN = 1 << 62


def _gzip() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


_MAGIC: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b\x08": _gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": lzma.LZMADecompressor,
    b"]\x00\x00": lzma.LZMADecompressor,
    b"x": zlib.decompressobj,
}
_PICKLES = (".joblib", ".pickle", ".pkl")  # joblib packs them under these names, too
_PROMISES: dict[bytes, tuple[str, ...]] = {
    b"\x1f\x8b\x08": (".gz", ".tgz", *_PICKLES),
    b"BZh": (".bz2", ".tbz2", *_PICKLES),
    b"\xfd7zXZ\x00": (".xz", ".txz", *_PICKLES),
    b"]\x00\x00": (".lzma", *_PICKLES),
    b"x": (".z", *_PICKLES),
}
"""By magic number: the suffixes with which a file that begins with it must be whole."""
_PIECE = 1 << 16
_OLD_JOBLIB = b"ZF0x"
_OLD_JOBLIB_HEADER = 21
_UNREAD = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"\x1f\x9d": "packed with compress",
    b"LZIP\x01": "packed with lzip",
    b"MSCF\x00\x00\x00\x00": "a cabinet archive",
}
_UNREAD_MAGIC = tuple(_UNREAD)


def shows_unread(source: Source) -> bool:
    """Return whether the content is an archive or packed in a way that is not read here."""
    return source.start(8).startswith(_UNREAD_MAGIC)


def check_unread(source: Source) -> Iterator[Problem]:
    """Yield the warning that it is not looked into."""
    start = source.start(8)
    yield archives.not_looked_into(source, next(what for magic, what in _UNREAD.items() if start.startswith(magic)))


def shows_packed(source: Source) -> bool:
    """Return whether the content can be unpacked by gzip, zlib, bz2, xz or lzma."""
    inner = _unpacked(source)
    return inner is not None and bool(inner.start(1))


def check_packed(source: Source) -> Iterator[Problem]:
    """Yield what loading the unpacked content would run; an archive in it is not looked into."""
    inner = _unpacked(source)
    if inner is None:
        return
    if archives.shows_zip(inner) or tars.shows_tar(inner):
        yield archives.not_looked_into(source, "an archive that is packed as a whole")
        return
    yield from check_anything(inner)
    if inner.stream.tell() >= _most(source):
        yield archives.not_looked_into(source, f"what it unpacks to behind the first {_most(source)} bytes")


def shows_promised(source: Source) -> bool:
    """Return whether both the name of the file and its first bytes say that it is packed."""
    return source.depth == 0 and _promised(source) is not None


def check_promised(source: Source) -> Iterator[Problem]:
    """Yield a problem if the file ends before what is packed in it does; nothing else is looked at."""
    magic = _promised(source)
    if magic is not None and _is_cut(source, magic):
        yield archives.cut_short(source, "a packed file")


def _promised(source: Source) -> bytes | None:
    start = source.start(_OLD_JOBLIB_HEADER)
    return next((m for m, ends in _PROMISES.items() if start.startswith(m) and source.name.endswith(ends)), None)


def _is_cut(source: Source, magic: bytes) -> bool:
    """Return whether the last of several consecutive streams does not end; what is unpacked is bounded."""
    source.stream.seek(0)
    stream, waiting, left = _MAGIC[magic](), b"", _most(source)
    while left > 0:
        if stream.eof:
            waiting = stream.unused_data
            waiting += source.stream.read(max(0, len(magic) - len(waiting)))
            if not waiting or waiting[: len(magic)] != magic[: len(waiting)]:
                return False  # the end, or what unpackers pass over behind it
            stream = _MAGIC[magic]()
        if not waiting and getattr(stream, "needs_input", True):
            waiting = source.stream.read(_PIECE)
            if not waiting:
                return True
        try:
            left -= len(stream.decompress(waiting, _PIECE))
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
            return False  # not cut, but not what it seemed
        waiting = getattr(stream, "unconsumed_tail", b"")
    return False


def _most(source: Source) -> int:
    return max(_MOST, _MOST_RATIO * source.stored)


def _unpacked(source: Source) -> Source | None:
    start = source.start(_OLD_JOBLIB_HEADER + 2)
    skip = 0
    if start.startswith(_OLD_JOBLIB):
        skip = _OLD_JOBLIB_HEADER + (start[_OLD_JOBLIB_HEADER:][:1] != b"x")
        start = start[skip:]
    new = next((new for magic, new in _MAGIC.items() if start.startswith(magic)), None)
    if new is None:
        return None
    packed = window(source.stream, skip, source.length - skip)
    # Only unpacking all of it would tell how long it is.
    return source.inner("unpacked", unpacked(packed, new, _most(source)), _UNKNOWN, stored=source.stored)
