"""The numbers of arrays in a small ``numpy.savez`` file, read without NumPy."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.npy import read_header
from ckptkit.formats.zips import read_member

_MOST_BYTES = 16 << 20
_FORMS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}

Rows = Sequence[Sequence[float]]


def rows_of(path: Path, names: Iterable[str]) -> Mapping[str, Rows]:
    """Return the named arrays, each as its rows: what has the same first index. A row of one dimension is one number.

    Args:
        path: a file of ``numpy.savez``.
        names: of the arrays in it.

    Raises:
        DamagedError: one is not there, too large, damaged, or no array of plain numbers in C order.
    """
    return {name: _rows(name, read_member(path, f"{name}.npy", max_bytes=_MOST_BYTES)) for name in names}


def _rows(name: str, data: bytes) -> Rows:
    header = read_header(data, len(data))
    descr = header.descr if isinstance(header.descr, str) else ""
    form = _FORMS.get(descr[1:])
    if form is None or descr[0] not in "<|>" or not header.shape or (header.fortran and len(header.shape) > 1):
        raise DamagedError(f"{name}: is no array of plain numbers")
    width = struct.calcsize(form)
    order = ">" if descr[0] == ">" else "<"
    values = struct.unpack(f"{order}{(len(data) - header.place) // width}{form}", data[header.place :])
    each = len(values) // header.shape[0] if header.shape[0] else 0
    return [values[at : at + each] for at in range(0, len(values), each)] if each else []
