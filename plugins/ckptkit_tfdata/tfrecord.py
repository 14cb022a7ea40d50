"""The framing of a TFRecord file, read without TensorFlow: where each record begins, and whether its bytes are sound.

Layout, from tensorflow/core/lib/io/record_writer.h: length (uint64), masked CRC32C of it, data, masked CRC32C of it.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError, NotFoundError
from ckptkit.formats.crc32c import extend, mask

_HEADER = 12
_FOOTER = 4
_BLOCK = 1 << 20


def record_offsets(path: str | os.PathLike[str], *, contents: bool = False) -> list[int]:
    """Return the byte at which each record of an uncompressed TFRecord file begins.

    Args:
        path: of the file.
        contents: whether to read and compare the data of the records too; else only their headers are read.

    Raises:
        NotFoundError: there is no such file.
        DamagedError: a record is cut short or does not match its checksum; the message says which one.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _offsets(stream, path, contents)
    except FileNotFoundError as error:
        hint = "put the file back, or make the data again"
        raise NotFoundError(f"record file {path}: is missing", hint=hint) from error
    except OSError as error:
        raise DamagedError(f"record file {path}: cannot be read ({error.strerror})") from error


def _offsets(stream: BinaryIO, path: Path, contents: bool) -> list[int]:
    size = os.fstat(stream.fileno()).st_size
    offsets: list[int] = []
    at = 0
    while at < size:
        where = f"record file {path}: record {len(offsets)} at byte {at}"
        stream.seek(at)
        header = stream.read(_HEADER)
        if len(header) < _HEADER:
            raise _damaged(f"{where} is cut short")
        length, stored = struct.unpack("<QI", header)
        if mask(extend(0, header[:8])) != stored:
            raise _damaged(f"{where}: the checksum of its length does not match")
        end = at + _HEADER + length + _FOOTER
        if end > size:
            raise _damaged(f"{where} is cut short")
        if contents and not _sound(stream, length):
            raise _damaged(f"{where}: the checksum of its data does not match")
        offsets.append(at)
        at = end
    return offsets


def _sound(stream: BinaryIO, length: int) -> bool:
    crc = 0
    while length:
        piece = stream.read(min(length, _BLOCK))
        if not piece:
            return False  # the file was cut while it was read
        crc = extend(crc, piece)
        length -= len(piece)
    return stream.read(_FOOTER) == struct.pack("<I", mask(crc))


def _damaged(message: str) -> DamagedError:
    return DamagedError(message, hint="put a good copy of the file back, or make the data again")
