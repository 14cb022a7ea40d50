"""Files of ``numpy.save`` and ``numpy.savez``, checked without NumPy: plain numbers only, exactly as many as claimed.

Source: numpy/lib/format.py (versions 1.0, 2.0 and 3.0 of the format, ``descr_to_dtype``).
"""

import ast
import math
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from ckptkit.errors import DamagedError
from ckptkit.formats import archives
from ckptkit.formats.archives import Look
from ckptkit.formats.escaped import escaped
from ckptkit.formats.pickles import check_pickle_stream
from ckptkit.formats.sources import Source, window
from ckptkit.formats.zips import check_zip_stream, member_stream
from ckptkit.problem import Problem

MAX_HEADER = 10_000
"""NumPy itself does not read longer headers unless told to."""
MAX_DIMENSIONS = 64
_PREFIX = 12
_MAX_DEPTH = 32
_MAX_COUNT = 2**63 - 1
# savez_compressed packs zeros 1000:1, and an array of flags is mostly zeros: the shape is checked anyhow.
_RATIO_FROM = 256 << 20
_TYPE = re.compile(r"[<>|=]?([biufcSaUVOmM?])(\d{0,10})(\[\d{0,6}[a-zA-Z]{1,2}(?:/\d{1,6})?\])?")


class _NpyError(ValueError):
    """Not a sound array file."""


class _ObjectsError(_NpyError):
    """An array whose items are pickled from ``place`` on."""

    place = 0


def shows_npy(source: Source) -> bool:
    """Return whether the content begins like an array file."""
    return source.start(6) == b"\x93NUMPY"


def check_npy(source: Source) -> list[Problem]:
    """Check one array file: ``npy-damaged``; nothing if sound.

    An array of objects is a pickle after a header: ``npy-object-dtype`` (a warning), and what the pickle would run.
    """
    try:
        _check_array(source.start(_PREFIX + MAX_HEADER), source.length)
    except _ObjectsError as error:
        warning = source.problem("npy-object-dtype", str(error), "warning")
        pickled = window(source.stream, error.place, source.length - error.place)
        length = source.length - error.place
        return [warning, *check_pickle_stream(pickled, length, file=source.file, where=source.where)]
    except _NpyError as error:
        return [source.problem("npy-damaged", str(error))]
    return []


def shows_npz(source: Source) -> bool:
    """Return whether the content is a zip of array files."""
    if not archives.shows_zip(source):
        return False
    entries = source.once(archives.members) or ()
    return bool(entries) and all(entry.name.endswith(".npy") for entry in entries)


def check_npz(source: Source, look: Look) -> Iterator[Problem]:
    """Check a zip of array files: the zip (``zip-*``), and the header of every member (``npy-*``).

    Yields:
        The problems; ``npz-unknown-member`` names what is not an array. Nothing if all is sound.
    """
    stream, length = source.stream, source.length
    damage = check_zip_stream(stream, length, file=source.file, where=source.where, ratio_from=_RATIO_FROM)
    yield from damage
    for entry in source.once(archives.members) or ():
        if not entry.name.endswith(".npy"):
            yield source.problem("npz-unknown-member", f"{escaped(entry.name)}: is not an array")
            yield from archives.look_into_member(source, entry, look)
            continue
        try:
            member = member_stream(stream, entry)
        except DamagedError as error:
            if not damage:
                yield source.problem("npy-damaged", f"member {escaped(entry.name)!r}: {error}")
            continue
        yield from check_npy(source.inner(entry.name, member, entry.size, stored=entry.compressed))


@dataclass(frozen=True, slots=True)
class Header:
    """What an array file says of its array.

    Attributes:
        descr: its dtype, as the format writes it.
        shape: of the array.
        fortran: whether the first index runs fastest.
        place: where the data begins.
    """

    descr: object
    shape: tuple[int, ...]
    fortran: bool
    place: int


def read_header(start: bytes, length: int) -> Header:
    """Return what the beginning of an array file of ``length`` bytes says.

    Raises:
        DamagedError: it is no array file, not whole, or holds Python objects.
    """
    try:
        return _check_array(start, length)
    except _NpyError as error:
        raise DamagedError(str(error)) from error


def _check_array(start: bytes, length: int) -> Header:
    """Check the beginning of an array file of ``length`` bytes, and return what it says."""
    if start[:6] != b"\x93NUMPY":
        raise _NpyError("is empty" if not length else "is not an array file")
    if start[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise _NpyError("has an unknown format version")
    form = "<H" if start[6] == 1 else "<I"
    place = 8 + struct.calcsize(form)
    if len(start) < place:
        raise _NpyError("is truncated in its header")
    (size,) = struct.unpack(form, start[8:place])
    if size > MAX_HEADER:
        raise _NpyError(f"has a header of {size} bytes, at most {MAX_HEADER} are read")
    if len(start) < place + size:
        raise _NpyError("is truncated in its header")
    header = _parse(start[place : place + size], "utf-8" if start[6] == 3 else "latin-1")
    try:
        item_bytes = sum(_sizes(header["descr"], 0))
    except _ObjectsError as error:
        error.place = place + size
        raise
    shape = tuple(_dimensions(header["shape"]))
    count = math.prod(shape)
    if max(count, item_bytes) > _MAX_COUNT:
        raise _NpyError("claims more items than any machine could hold")
    if count * item_bytes != length - place - size:
        raise _NpyError(f"has {length - place - size} bytes of data where {count * item_bytes} are needed")
    return Header(header["descr"], shape, bool(header["fortran_order"]), place + size)


def _parse(header: bytes, encoding: str) -> dict[str, object]:
    try:
        with _unwarned(header):
            value = ast.literal_eval(header.decode(encoding).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _NpyError("has a header that does not describe an array") from error
    if not isinstance(value, dict) or set(value) != {"descr", "fortran_order", "shape"}:
        raise _NpyError("has a header that does not describe an array")
    if not isinstance(value["fortran_order"], bool):
        raise _NpyError("has a header that does not describe an array")
    return value


def _unwarned(header: bytes) -> AbstractContextManager[object]:
    """Let the parser not warn of odd escapes; where there are none, other threads' warnings are left alone."""
    return warnings.catch_warnings(action="ignore") if b"\\" in header else nullcontext()


def _dimensions(shape: object) -> Iterator[int]:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise _NpyError("has an invalid shape")
    for size in shape:
        if type(size) is not int or not 0 <= size <= _MAX_COUNT:
            raise _NpyError("has an invalid shape")
        yield size


def _sizes(descr: object, depth: int) -> Iterator[int]:
    """Yield the bytes of each field of a dtype description."""
    if depth > _MAX_DEPTH:
        raise _NpyError("has a dtype that is nested too deeply")
    if isinstance(descr, str):
        yield _scalar(descr)
    elif isinstance(descr, tuple) and len(descr) == 2:  # a subarray: (dtype, shape)
        yield sum(_sizes(descr[0], depth + 1)) * math.prod(_dimensions(descr[1]))
    elif isinstance(descr, list):
        for field in descr:
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise _NpyError("has an invalid dtype")
            repeats = math.prod(_dimensions(field[2])) if len(field) == 3 else 1
            yield sum(_sizes(field[1], depth + 1)) * repeats
    else:
        raise _NpyError("has an invalid dtype")


def _scalar(text: str) -> int:
    match = _TYPE.fullmatch(text)
    if not match:
        raise _NpyError(f"has an unknown dtype {escaped(text, 40)!r}")
    kind, digits = match[1], match[2]
    if kind == "O":
        raise _ObjectsError(f"holds Python objects (dtype {escaped(text, 40)!r}): loading would unpickle them")
    if kind == "?":
        return 1
    if not digits:
        raise _NpyError(f"has a dtype {escaped(text, 40)!r} without a size")
    return int(digits) * (4 if kind == "U" else 1)
