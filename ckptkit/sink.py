"""New files that are digested and counted while they are written: no file of a save is read for its digest."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from ckptkit.digest import DEFAULT_ALGORITHM, digest_file, new_hasher
from ckptkit.errors import CkptkitError, ConflictError

_BLOCK = 1 << 20  # bytes: each is digested while it is still in the processor's cache
_SAMPLE = 4096
_LEAST_HOLE = 1 << 16
_NO_HOLES = 1 << 63
OnBytes = Callable[[int], None]


class Sink(io.BufferedIOBase):
    """A new file, written once from its beginning to its end; it cannot seek. Every ``write`` is a whole one.

    Args:
        path: the file, or None to write nothing: only the digest is wanted.
        algorithm: of the digest.
        on_bytes: called with the size of each block.
        earlier: of a safetensors file, an earlier one: where tensors have the same bytes at the same places, nothing is
            written. The file has holes there, until somebody fills them, or puts it together otherwise.

    Attributes:
        holes: where they begin and how long they are, in order.

    Raises:
        OSError: it exists, or it cannot be created or written.
    """

    def __init__(
        self,
        path: Path | None,
        algorithm: str = DEFAULT_ALGORITHM,
        *,
        on_bytes: OnBytes | None = None,
        earlier: BinaryIO | None = None,
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = None if path is None else os.open(path, flags, 0o666)
        self._algorithm, self._hasher = algorithm, new_hasher(algorithm)
        self._on_bytes = on_bytes
        self._stamp: tuple[int, int, int] | None = None
        self.size = 0
        self.earlier = earlier
        self.holes: list[tuple[int, int]] = []
        self._header: int | None = None
        self._buffers = {} if earlier is None else {count: bytearray(count) for count in (_SAMPLE, _BLOCK)}

    @property
    def digest(self) -> str:
        """``algorithm:hex`` of what was written so far."""
        return f"{self._algorithm}:{self._hasher.hexdigest()}"

    def writable(self) -> bool:
        """Return True: that is all that it is for."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size

    def write(self, data: Any) -> int:
        """Write all bytes of an object that has a buffer, and return how many they are."""
        if self.closed:
            raise ValueError("write to closed file")
        whole = memoryview(data).cast("B")
        if self._header is None:  # readers look into it: it has no holes
            self._header = 8 + int.from_bytes(whole[:8], "little") if len(whole) >= 8 else _NO_HOLES
        for start in range(0, len(whole), _BLOCK):
            block = left = whole[start : start + _BLOCK]
            if self._descriptor is not None and self._is_there(block):
                os.lseek(self._descriptor, len(block), os.SEEK_CUR)
                self._add_hole(len(block))
                left = block[:0]
            while self._descriptor is not None and left:
                left = left[os.write(self._descriptor, left) :]
            self._hasher.update(block)
            self.size += len(block)
            if self._on_bytes is not None:
                self._on_bytes(len(block))
        return len(whole)

    def _is_there(self, block: memoryview) -> bool:
        """Return whether the earlier file has the same bytes at this place; a few of them tell first."""
        if self.earlier is None or len(block) < _LEAST_HOLE or self.size < (self._header or 0):
            return False
        for count in (_SAMPLE, len(block)):
            found = self._buffers.get(count) or bytearray(count)
            try:
                if not read_at(self.earlier, self.size, found) or found != block[:count]:
                    return False
            except (CkptkitError, OSError):  # it is damaged, or was removed meanwhile
                return False
        return True

    def _add_hole(self, length: int) -> None:
        start = self.size
        if self.holes and sum(self.holes[-1]) == start:
            start, before = self.holes.pop()
            length += before
        self.holes.append((start, length))

    def read_from(self, path: Path, start: int, count: int) -> bytearray:
        """Return bytes of the closed file, with those that belong into its holes."""
        found = bytearray(count)
        with path.open("rb", buffering=0) as stream:
            read_at(stream, start, found)
        for hole, length in self.holes:
            low, high = max(start, hole), min(start + count, hole + length)
            if low < high and self.earlier is not None:
                part = bytearray(high - low)
                if not read_at(self.earlier, low, part):
                    raise OSError(errno.EIO, "an earlier file was cut", str(path))
                found[low - start : high - start] = part
        return found

    def fill(self, path: Path) -> None:
        """Fill the holes of the closed file; raises OSError."""
        with path.open("r+b", buffering=0) as stream:
            for hole, length in self.holes:
                for start in range(hole, hole + length, _BLOCK):
                    left = memoryview(self.read_from(path, start, min(_BLOCK, hole + length - start)))
                    stream.seek(start)
                    while left:
                        left = left[stream.write(left) :]
        self.holes.clear()
        self._stamp = _stamp(path.lstat())

    def close(self) -> None:
        """Close the file; raises OSError if the system could not keep what was written."""
        if not self.closed and self._descriptor is not None:
            if self.holes:
                os.ftruncate(self._descriptor, self.size)
            self._stamp = _stamp(os.fstat(self._descriptor))
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
        super().close()

    def is_all_of(self, path: Path) -> bool:
        """Return whether the file at a path is the one that was written, closed, and not changed since."""
        try:
            return self._stamp == _stamp(path.lstat())
        except FileNotFoundError:
            return False


def read_at(stream: BinaryIO, start: int, buffer: bytearray) -> bool:
    """Fill a buffer from a place of a stream; returns whether there were so many bytes."""
    source: Any = getattr(stream, "raw", stream)
    source.seek(start)
    view, done = memoryview(buffer), 0
    while done < len(buffer):
        count = source.readinto(view[done:])
        if not count:
            return False
        done += count
    return True


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


class Sinks:
    """The files of one save and their digests: taken while they were written, or else by reading them.

    Args:
        algorithm: of the digests.
        on_bytes: called with the size of each block that was digested.
        keep: whether what is written is wanted, or only its digest.
        folder: what paths are relative to for ``earlier``.
        earlier: opens, for the path of a new file, an earlier one that may have much in common with it; or None.
    """

    def __init__(
        self,
        algorithm: str,
        *,
        on_bytes: OnBytes | None = None,
        keep: bool = True,
        folder: Path | None = None,
        earlier: Callable[[str], BinaryIO | None] | None = None,
    ) -> None:
        self._folder = folder
        self.algorithm, self._on_bytes, self._keep, self._earlier = algorithm, on_bytes, keep, earlier
        self._made: dict[Path, Sink] = {}

    def create(self, path: Path) -> Sink:
        """Open a new file for writing; raises OSError."""
        earlier = None
        if self._earlier is not None and self._folder is not None and path.is_relative_to(self._folder):
            earlier = self._earlier(path.relative_to(self._folder).as_posix())
        place = path if self._keep else None
        self._made[path] = sink = Sink(place, self.algorithm, on_bytes=self._on_bytes, earlier=earlier)
        return sink

    def with_holes(self, path: Path) -> Sink | None:
        """Return the sink of a file that still has holes."""
        sink = self._made.get(path)
        return sink if sink is not None and sink.holes else None

    def require_left_alone(self, folder: Path) -> None:
        """Raise ConflictError if a file with holes below a folder was moved, changed or removed after it was closed.

        Whoever did has seen, or taken along, what is not there yet.
        """
        for path, sink in self._made.items():
            if sink.holes and path.is_relative_to(folder) and not sink.is_all_of(path):
                raise ConflictError(
                    f"{path.name}: was changed or moved after it was written", hint="save this item with dedup off"
                )

    def release(self) -> None:
        """Close the earlier files."""
        for sink in self._made.values():
            if sink.earlier is not None:
                sink.earlier.close()

    def unkept(self) -> list[Path]:
        """Return where the files would be of which only the digest was wanted."""
        return [] if self._keep else list(self._made)

    def written(self, folder: Path) -> list[str]:
        """Return the files below a folder, relative to it, that were written here and left alone."""
        whole = [path for path, sink in self._made.items() if path.is_relative_to(folder) and sink.is_all_of(path)]
        return [path.relative_to(folder).as_posix() for path in whole]

    def digest(self, path: Path) -> tuple[int, str]:
        """Return ``(size in bytes, algorithm:hex)`` of a file; it is read unless it was written here and left alone.

        Raises:
            DamagedError: not a regular file.
            ConflictError: it changed while it was read.
            StoreError: it cannot be read.
        """
        sink = self._made.get(path)
        if sink is not None and (not self._keep or sink.is_all_of(path)):
            return sink.size, sink.digest
        return digest_file(path, self.algorithm, on_bytes=self._on_bytes)
