"""What is looked into: the bytes of a file or of a part of one, with the name that findings give them."""

import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened
from ckptkit.problem import Problem, Severity

_BUFFER = 1 << 16
T = TypeVar("T")
_HEAD = 512  # bytes that are read once: every kind looks for its mark in them


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to look into. Nobody may rely on the stream's position: whoever reads seeks first.

    Attributes:
        stream: seekable bytes.
        length: how many there are.
        name: the file's name, or the member's; what it promises counts only where the content says nothing.
        file: name for the problems.
        where: locator inside that file, put in front of each message; empty for the file itself.
        stored: bytes that it takes on the disk: what work is measured by. Less than ``length`` if it is packed.
        depth: in how many archives it lies.
        path: the file, unless it is a part of one.
    """

    stream: BinaryIO
    length: int
    name: str
    file: str
    where: str = ""
    stored: int = field(kw_only=True)
    depth: int = 0
    path: Path | None = None
    _head: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)
    _known: dict[Callable[["Source"], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, look: Callable[["Source"], T]) -> T:
        """Return what a look at these bytes finds; asked again, as several kinds of zip do, it reads nothing."""
        if look not in self._known:
            self._known[look] = look(self)
        found: T = self._known[look]
        return found

    def start(self, size: int) -> bytes:
        """Return the first bytes, fewer if there are not so many."""
        if size > _HEAD:
            return self._first(size)
        if not self._head:
            self._head.append(self._first(_HEAD))
        return self._head[0][:size]

    def _first(self, size: int) -> bytes:
        self.stream.seek(0)
        return self.stream.read(min(size, self.length))

    def end(self, size: int) -> bytes:
        """Return the last bytes."""
        size = min(size, self.length)
        self.stream.seek(self.length - size)
        return self.stream.read(size)

    def inner(self, name: str, stream: BinaryIO, length: int, *, stored: int) -> "Source":
        """Return a member of this archive as a source of its own."""
        label = escaped(name)
        where = f"{self.where}/{label}" if self.where else label
        return Source(stream, length, name, self.file, where, stored=stored, depth=self.depth + 1)

    def problem(self, code: str, message: str, severity: Severity = "error") -> Problem:
        """Return a problem of these bytes."""
        return Problem(code, f"{self.where}: {message}" if self.where else message, self.file, severity=severity)


@contextmanager
def source_of(path: Path, *, file: str) -> Iterator[Source]:
    """Open a regular file, never through a link.

    Raises:
        DamagedError: it is not a regular file.
        OSError: it cannot be opened.
    """
    with opened(path) as (stream, length):
        yield Source(stream, length, path.name, file, stored=length, path=path)


def window(stream: BinaryIO, start: int, length: int) -> BinaryIO:
    """Return the part of a stream from ``start`` on as a stream of its own; reading it moves the other one's place."""
    return io.BufferedReader(_Window(stream, start, length), _BUFFER)


def unpacked(packed: BinaryIO, decompressor: Callable[[], Any], length: int) -> BinaryIO:
    """Return the first ``length`` bytes of what a packed stream unpacks to; damage is its end.

    Args:
        packed: seekable bytes.
        decompressor: builds an object like ``zlib.decompressobj()``.
        length: no more is unpacked.
    """
    return io.BufferedReader(_Unpacked(packed, decompressor, length), _BUFFER)


class _Part(io.RawIOBase):
    """A readable stream of known length that is asked for the bytes at its place."""

    def __init__(self, length: int) -> None:
        self._length, self._place = length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._length}[whence]
        self._place = max(0, base + offset)
        return self._place


class _Unpacked(_Part):
    def __init__(self, packed: BinaryIO, decompressor: Callable[[], Any], length: int) -> None:
        super().__init__(length)
        self._packed, self._new = packed, decompressor
        self._restart()

    def _restart(self) -> None:
        self._decompressor = self._new()
        self._read = self._done = 0  # bytes taken from the packed stream, bytes given out
        self._waiting = b""
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io gives no other buffer
        if self._done > self._place:
            self._restart()
        if self._place >= self._length:
            return 0
        while self._done < self._place and self._next(min(_BUFFER, self._place - self._done)):
            pass
        data = self._next(max(0, min(len(buffer), self._length - self._place)))
        buffer[: len(data)] = data
        self._place = self._done
        return len(data)

    def _next(self, size: int) -> bytes:
        """Return at most so many of the next bytes; none at the end, or where the stream is damaged."""
        while size and not self._ended:
            if self._decompressor.eof:  # gzip and its like may be several streams, one behind the other
                self._waiting = self._decompressor.unused_data
                self._decompressor = self._new()
            more = self._waiting or not getattr(self._decompressor, "needs_input", True) or self._fill()
            try:
                data: bytes = self._decompressor.decompress(self._waiting, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
                self._ended = True
                return b""
            self._waiting = getattr(self._decompressor, "unconsumed_tail", b"")
            self._done += len(data)
            if data:
                return data
            self._ended = not more
        return b""

    def _fill(self) -> bool:
        self._packed.seek(self._read)
        self._waiting = self._packed.read(_BUFFER)
        self._read += len(self._waiting)
        return bool(self._waiting)


class _Window(_Part):
    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        super().__init__(length)
        self._stream, self._start = stream, start

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io gives no other buffer
        self._stream.seek(self._start + self._place)
        data = self._stream.read(max(0, min(len(buffer), self._length - self._place)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
