"""The bytes of a pickle, read as the C unpickler reads them, but never more of them than is needed."""

import struct
from typing import BinaryIO

_LINE = 1 << 20
_DIGITS = 40


class PickleError(ValueError):
    """The bytes are not a pickle that could be loaded."""


class PickleTooComplexError(PickleError):
    """Following the pickle to its end would take too much time or memory."""


class PickleStream:
    """Reads arguments of opcodes; what is not looked at is skipped, not read.

    Args:
        stream: seekable; reading starts at its position.
        length: length of the whole stream.
    """

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream, self._length = stream, length

    @property
    def place(self) -> int:
        """Offset of the next byte."""
        return self._stream.tell()

    @property
    def left(self) -> int:
        """Bytes from here to the end."""
        return self._length - self._stream.tell()

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes; raises PickleError if they are not there."""
        data = self._stream.read(size)
        if len(data) != size:
            raise PickleError("ends before its STOP opcode")
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes; raises PickleError if they are not there."""
        if size < 0:
            raise PickleError("has a negative length")
        if size > self.left:
            raise PickleError(f"claims {size} bytes at byte {self.place}, but only {self.left} are left")
        self._stream.seek(size, 1)

    def go(self, place: int) -> None:
        """Go on reading at another offset."""
        self._stream.seek(place)

    def line(self) -> bytes:
        """Return a line without its last byte, which at the end of the file need not be a line feed (as in C).

        Of a very long line the beginning is returned: it is too long for anything that somebody looks at.
        """
        line = part = self._stream.readline(_LINE)
        if not line:
            raise PickleError("ends before its STOP opcode")
        while len(part) == _LINE and not part.endswith(b"\n"):
            part = self._stream.readline(_LINE)
        return line[:-1]

    def short_line(self) -> bytes:
        """Return a line like ``line``; raises PickleError if it is very long, without reading on."""
        line = self._stream.readline(_LINE)
        if not line or (len(line) == _LINE and not line.endswith(b"\n")):
            raise PickleError("has a line without an end")
        return line[:-1]

    def number(self, form: str) -> int:
        """Return one integer of a ``struct`` format."""
        value: int = struct.unpack(form, self.read(struct.calcsize(form)))[0]
        return value

    def decimal(self) -> int:
        """Return the integer that a line writes out."""
        line = self.line()
        if len(line) > _DIGITS:
            raise PickleError("has a number that is too long")
        try:
            return int(line)
        except ValueError as error:
            raise PickleError("has an invalid number") from error
