"""Parquet files (datasets), checked without a library: both ends, the footer, and the places it gives for columns.

Source: apache/parquet-format, README.md ("File format") and parquet.thrift (``FileMetaData``).
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from ckptkit.formats.sources import Source
from ckptkit.formats.thrift import Reader, ThriftError
from ckptkit.problem import Problem

SIGNATURE = b"PAR1"
_ENCRYPTED = b"PARE"
_MAX_FOOTER = 64 << 20
_SHORTEST = 12
# Fields of parquet.thrift, by number.
_ROW_COUNT, _ROW_GROUPS = 3, 4
_COLUMNS, _ROWS = 1, 3
_META, _PATH_OUTSIDE = 3, 1
_COMPRESSED, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11


def shows_parquet(source: Source) -> bool:
    """Return whether the bytes begin as a Parquet file does."""
    return source.start(len(SIGNATURE)) == SIGNATURE


def check_parquet(source: Source) -> Iterator[Problem]:
    """Yield what shows that a Parquet file is not whole; the pages of its columns are not looked into."""
    if message := _fault(source.stream, source.length):
        yield source.problem("parquet-damaged", message)


def _fault(stream: BinaryIO, length: int) -> str | None:
    if length < _SHORTEST:
        return f"is {length} bytes long, too short for a Parquet file"
    stream.seek(0)
    start = stream.read(4)
    stream.seek(length - 8)
    size, end = int.from_bytes(stream.read(4), "little"), stream.read(4)
    if start == end == _ENCRYPTED:
        return None  # the footer can only be read with the key
    if start != SIGNATURE or end != SIGNATURE:
        which = "end" if start == SIGNATURE else "begin"
        return f"does not {which} with {SIGNATURE.decode()}: cut short, or not a Parquet file"
    place = length - 8 - size
    if place < len(SIGNATURE):
        return f"claims a footer of {size} bytes, but is {length} bytes long"
    if size > _MAX_FOOTER:
        return f"claims a footer of {size} bytes; at most {_MAX_FOOTER} are read"
    stream.seek(place)
    reader = Reader(stream.read(size))
    try:
        footer = reader.struct()
        if reader.at != size:
            return f"has a footer that ends {size - reader.at} bytes too early"
        return next(_misplaced(footer, place), None)
    except (ThriftError, TypeError, AttributeError, KeyError) as error:
        said = f": it {error}" if isinstance(error, ThriftError) else ""
        return f"has a footer that cannot be read{said}"


def _misplaced(footer: dict[int, Any], end: int) -> Iterator[str]:
    """Yield what is not between the beginning and the footer, and where rows are missing."""
    groups = footer[_ROW_GROUPS]
    rows = sum(group[_ROWS] for group in groups)
    if rows != footer[_ROW_COUNT]:
        yield f"says {footer[_ROW_COUNT]} rows, its row groups have {rows}"
    for group in groups:
        for column in group[_COLUMNS]:
            if _PATH_OUTSIDE in column or _META not in column:
                continue  # in another file, or encrypted
            meta = column[_META]
            first = min((place for place in (meta[_DATA_PAGE], meta.get(_DICTIONARY_PAGE)) if place), default=0)
            if first < len(SIGNATURE) or first + meta[_COMPRESSED] > end:
                yield f"has a column at bytes {first} to {first + meta[_COMPRESSED]}, beyond its data of {end} bytes"
