"""By how much two tensors differ: both are streamed, and their numbers decoded, in bounded memory and without NumPy.

Where NumPy is installed it is imported for large tensors only. Both ways count in double precision, and what they
return is rounded to ten digits, behind which the order of a sum shows.
"""

import math
import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, zip_longest
from operator import sub
from typing import Any

from ckptkit.formats.tensor_bytes import Held
from ckptkit.formats.tensors import Tensor

_DIGITS = 10
_WORTH_NUMPY = 1 << 19
"""Elements: below that, importing it takes longer than counting without it."""
_CODES = {
    "bool": "B", "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q",
    "int64": "q", "float32": "f", "float64": "d", "complex64": "f", "complex128": "d",
}  # fmt: skip
_COMPLEX = ("complex64", "complex128")
_ARRAYS = {
    "bool": "u1", "uint8": "u1", "int8": "i1", "uint16": "u2", "int16": "i2", "uint32": "u4", "int32": "i4",
    "float16": "f2", "bfloat16": "u2", "float8_e5m2": "u1", "float8_e4m3fn": "u1", "float32": "f4", "float64": "f8",
    "complex64": "f4", "complex128": "f8",
}  # fmt: skip
_SMALLEST, _LARGEST = 1e-290, 1e290  # sums of squares beyond are left to what scales them
_Numbers = Sequence[float]


@dataclass(frozen=True, slots=True)
class Change:
    """How two tensors of the same shape differ; numbers that are not finite and differ are only counted.

    Attributes:
        norm: L2 norm of the second minus the first.
        norm_a: L2 norm of the first.
        norm_b: L2 norm of the second.
        largest: the largest absolute difference of two elements.
        differing: how many elements differ.
        not_finite: how many of these are NaN or infinite in either; the norms and ``largest`` leave them out.
    """

    norm: float
    norm_a: float
    norm_b: float
    largest: float
    differing: int
    not_finite: int = 0

    @property
    def relative(self) -> float:
        """The norm of the change as a share of that of the first; infinite where that is zero."""
        return self.norm / self.norm_a if self.norm_a else math.inf


def comparable(a: Tensor, b: Tensor) -> bool:
    """Return whether the numbers of two tensors can be decoded and compared, given that their shapes are equal."""
    known = all(one.dtype in _CODES or one.dtype in _DECODERS for one in (a, b))
    return known and (a.dtype in _COMPLEX) == (b.dtype in _COMPLEX)


def same_content(a: Held, b: Held, on_bytes: Callable[[int], None] | None = None) -> bool:
    """Return whether two tensors of the same dtype and shape are equal, bit for bit.

    Raises:
        DamagedError: a file ends before its tensor does.
        OSError: it cannot be read.
    """
    if a.tensor.place.big_endian != b.tensor.place.big_endian:
        return False
    for one, other in zip_longest(*_blocks(a, b)):
        if one != other:
            return False
        if on_bytes is not None:
            on_bytes(len(one) + len(other))
    return True


def numpy_for(elements: int) -> Any:
    """Return NumPy if it is installed, and worth its import for so many elements, else None."""
    if elements < _WORTH_NUMPY:
        return None
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def change(a: Held, b: Held, on_bytes: Callable[[int], None] | None = None, *, numpy: Any = None) -> Change:
    """Return by how much two tensors of the same shape differ; their dtypes may.

    Args:
        a: the first.
        b: the second; ``comparable`` with it.
        on_bytes: called with the size of the blocks that were read.
        numpy: the module (``numpy_for``), to be faster; the result is the same.

    Raises:
        DamagedError, OSError: as ``same_content``.
    """
    tally = _Tally(numpy, paired=a.tensor.dtype in _COMPLEX)
    fast = numpy is not None and all(one.tensor.dtype in _ARRAYS for one in (a, b))
    for one, other in zip(*_blocks(a, b), strict=True):
        if not (fast and tally.add_arrays(_array(one, a, numpy), _array(other, b, numpy))):
            tally.add(_decoded(one, a), _decoded(other, b))
        if on_bytes is not None:
            on_bytes(len(one) + len(other))
    return tally.change()


def _blocks(a: Held, b: Held) -> tuple[Iterator[bytes], Iterator[bytes]]:
    as_stored = a.tensor.place.strides == b.tensor.place.strides and a.dense and b.dense
    return a.blocks(as_stored=as_stored), b.blocks(as_stored=as_stored)


class _Tally:
    """Adds up blocks of numbers; norms are joined by ``hypot``, which neither overflows nor forgets small ones."""

    def __init__(self, numpy: Any, *, paired: bool) -> None:
        self._numpy, self._paired = numpy, paired
        self.norm = self.norm_a = self.norm_b = self.largest = 0.0
        self.differing = self.not_finite = 0

    def add(self, a: _Numbers, b: _Numbers) -> None:
        norm_a, norm_b = math.hypot(*a), math.hypot(*b)
        if not (math.isfinite(norm_a) and math.isfinite(norm_b)):
            a, b = self._finite(a, b)
            norm_a, norm_b = math.hypot(*a), math.hypot(*b)
        moved = list(map(sub, b, a))
        self._join(math.hypot(*moved), norm_a, norm_b)
        if self._paired:
            moved = list(map(math.hypot, moved[::2], moved[1::2]))
        self.differing += len(moved) - moved.count(0)
        if moved:
            self.largest = max(self.largest, max(moved), -min(moved))

    def add_arrays(self, a: Any, b: Any) -> bool:
        """Do the same with arrays of double precision; returns whether it could be done."""
        with self._numpy.errstate(all="ignore"):
            moved = b - a
            squares = [float(self._numpy.dot(one, one)) for one in (moved, a, b)]
        if any(not (square == 0 or _SMALLEST < square < _LARGEST) for square in squares):
            return False  # not finite, or too small or too large to be squared
        if self._paired:
            moved = self._numpy.hypot(moved[::2], moved[1::2])
        differing = int(self._numpy.count_nonzero(moved))
        if any(square == 0 and one.any() for square, one in zip(squares[1:], (a, b), strict=True)):
            return False
        if differing and squares[0] == 0:
            return False
        self._join(*map(math.sqrt, squares))
        self.differing += differing
        self.largest = max(self.largest, float(self._numpy.abs(moved).max(initial=0.0)))
        return True

    def change(self) -> Change:
        norm, norm_a, norm_b, largest = map(_rounded, (self.norm, self.norm_a, self.norm_b, self.largest))
        return Change(norm, norm_a, norm_b, largest, self.differing, self.not_finite)

    def _join(self, norm: float, norm_a: float, norm_b: float) -> None:
        self.norm, self.norm_a = math.hypot(self.norm, norm), math.hypot(self.norm_a, norm_a)
        self.norm_b = math.hypot(self.norm_b, norm_b)

    def _finite(self, a: _Numbers, b: _Numbers) -> tuple[_Numbers, _Numbers]:
        kept = [math.isfinite(one) and math.isfinite(other) for one, other in zip(a, b, strict=True)]
        if self._paired:  # a part that is not finite takes the other one with it
            both = [real and imaginary for real, imaginary in zip(kept[::2], kept[1::2], strict=True)]
            kept = [fine for fine in both for _ in range(2)]
        odd = [not fine for fine in kept]
        pairs = [_differ(one, other) for one, other in zip(compress(a, odd), compress(b, odd), strict=True)]
        count = sum(map(any, zip(pairs[::2], pairs[1::2], strict=True))) if self._paired else sum(pairs)
        self.differing += count
        self.not_finite += count
        return list(compress(a, kept)), list(compress(b, kept))


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _differ(one: float, other: float) -> bool:
    return one != other and not (math.isnan(one) and math.isnan(other))


def _decoded(block: bytes, held: Held) -> _Numbers:
    dtype, big = held.tensor.dtype, held.tensor.place.big_endian
    if dtype in _DECODERS:
        return _DECODERS[dtype](block, big)
    numbers = array(_CODES[dtype], block)
    if big != (sys.byteorder == "big"):
        numbers.byteswap()
    return numbers.tolist()


def _halves(block: bytes, big: bool) -> _Numbers:
    return struct.unpack(f"{'>' if big else '<'}{len(block) // 2}e", block)


def _brain_floats(block: bytes, big: bool) -> _Numbers:
    """Decode what is the upper half of a float32."""
    wide = bytearray(2 * len(block))
    wide[2::4], wide[3::4] = (block[1::2], block[0::2]) if big else (block[0::2], block[1::2])
    return struct.unpack(f"<{len(block) // 2}f", wide)


def _e4m3_value(code: int) -> float:
    exponent, mantissa = code >> 3 & 15, code & 7
    if code & 0x7F == 0x7F:
        return math.nan
    size = math.ldexp(8 + mantissa, exponent - 10) if exponent else math.ldexp(mantissa, -9)
    return -size if code & 0x80 else size


_E4M3 = tuple(map(_e4m3_value, range(256)))
_E5M2 = _halves(bytes(byte for code in range(256) for byte in (0, code)), False)  # the upper byte of a float16
_DECODERS: dict[str, Callable[[bytes, bool], _Numbers]] = {
    "float16": _halves,
    "bfloat16": _brain_floats,
    "float8_e5m2": lambda block, _: [_E5M2[code] for code in block],
    "float8_e4m3fn": lambda block, _: [_E4M3[code] for code in block],
}


def _array(block: bytes, held: Held, numpy: Any) -> Any:
    dtype, order = held.tensor.dtype, ">" if held.tensor.place.big_endian else "<"
    numbers = numpy.frombuffer(block, order + _ARRAYS[dtype])
    if dtype == "bfloat16":
        numbers = (numbers.astype("u4") << 16).view("f4")
    elif dtype in _DECODERS and dtype != "float16":
        return numpy.array(_E5M2 if dtype == "float8_e5m2" else _E4M3)[numbers]
    return numbers.astype("f8")
