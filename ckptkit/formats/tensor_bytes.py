"""The bytes of one tensor, in blocks of as many elements each, wherever and in whatever order they lie in the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats import dtypes
from ckptkit.formats.escaped import escaped
from ckptkit.formats.tensors import Tensor

ELEMENTS = 1 << 14
_BYTES = 1 << 20
"""Elements, or bytes where an element has no fixed width, in a block."""


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor, and the open stream in which its place counts (``tensors.opened``)."""

    tensor: Tensor
    stream: BinaryIO

    @property
    def width(self) -> int | None:
        """Bytes of an element; None where they have no fixed width, or it is not known."""
        width = dtypes.WIDTHS.get(self.tensor.dtype)
        return width if width and self.size == width * self.tensor.elements else None

    @property
    def size(self) -> int:
        """Bytes of all its elements together, without those of others that lie between them."""
        tensor = self.tensor
        return tensor.place.size if tensor.place.strides is None else self._step * tensor.elements

    @property
    def _step(self) -> int:
        return dtypes.WIDTHS.get(self.tensor.dtype, 0)

    def blocks(self, *, as_stored: bool) -> Iterator[bytes]:
        """Yield its bytes, ``ELEMENTS`` at a time.

        Args:
            as_stored: in the order in which they lie in the file, for a tensor that fills its place; else in that of
                its elements, the last dimension fastest.

        Raises:
            DamagedError: the file ends before them.
        """
        step = (self.width or 1) * (ELEMENTS if self.width else _BYTES)
        if as_stored or self.tensor.place.strides is None:
            yield from self._read(self.tensor.place.offset, self.tensor.place.size, step)
            return
        block = bytearray()
        for at, size in _runs(self.tensor, self._step):
            for piece in self._read(at, size, step):
                block += piece
                while len(block) >= step:
                    yield bytes(block[:step])
                    del block[:step]
        if block:
            yield bytes(block)

    @property
    def dense(self) -> bool:
        """Whether it fills its place, in whatever order."""
        return self.size == self.tensor.place.size

    def _read(self, at: int, size: int, step: int) -> Iterator[bytes]:
        while size:
            self.stream.seek(at)  # each time: another tensor may lie in the same stream
            block = self.stream.read(min(step, size))
            if len(block) != min(step, size):
                raise DamagedError(f"ends within tensor {escaped(self.tensor.label)!r}: cut short")
            yield block
            at += len(block)
            size -= len(block)


def _runs(tensor: Tensor, width: int) -> Iterator[tuple[int, int]]:
    """Yield where its elements lie, in their order: offset and bytes of each stretch without a gap."""
    shape, strides = list(tensor.shape), list(tensor.place.strides or ())
    if 0 in shape:
        return
    together = 1
    while shape and (strides[-1] == together or shape[-1] == 1):
        together *= shape.pop()
        strides.pop()
    for index in product(*map(range, shape)):
        step = sum(place * stride for place, stride in zip(index, strides, strict=True))
        yield tensor.place.offset + step * width, together * width
