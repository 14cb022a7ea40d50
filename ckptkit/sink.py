"""New files that are digested and counted while they are written: no file of a save is read for its digest."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckptkit.digest import DEFAULT_ALGORITHM, digest_file, new_hasher

_BLOCK = 1 << 20  # bytes: each is digested while it is still in the processor's cache
OnBytes = Callable[[int], None]


class Sink(io.BufferedIOBase):
    """A new file, written once from its beginning to its end; it cannot seek. Every ``write`` is a whole one.

    Args:
        path: the file, or None to write nothing: only the digest is wanted.
        algorithm: of the digest.
        on_bytes: called with the size of each block.

    Raises:
        OSError: it exists, or it cannot be created or written.
    """

    def __init__(
        self, path: Path | None, algorithm: str = DEFAULT_ALGORITHM, *, on_bytes: OnBytes | None = None
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = None if path is None else os.open(path, flags, 0o666)
        self._algorithm, self._hasher = algorithm, new_hasher(algorithm)
        self._on_bytes = on_bytes
        self._stamp: tuple[int, int, int] | None = None
        self.size = 0

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
        for start in range(0, len(whole), _BLOCK):
            block = left = whole[start : start + _BLOCK]
            while self._descriptor is not None and left:
                left = left[os.write(self._descriptor, left) :]
            self._hasher.update(block)
            self.size += len(block)
            if self._on_bytes is not None:
                self._on_bytes(len(block))
        return len(whole)

    def close(self) -> None:
        """Close the file; raises OSError if the system could not keep what was written."""
        if not self.closed and self._descriptor is not None:
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


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


class Sinks:
    """The files of one save and their digests: taken while they were written, or else by reading them.

    Args:
        algorithm: of the digests.
        on_bytes: called with the size of each block that was digested.
        keep: whether what is written is wanted, or only its digest.
    """

    def __init__(self, algorithm: str, *, on_bytes: OnBytes | None = None, keep: bool = True) -> None:
        self.algorithm, self._on_bytes, self._keep = algorithm, on_bytes, keep
        self._made: dict[Path, Sink] = {}

    def create(self, path: Path) -> Sink:
        """Open a new file for writing; raises OSError."""
        self._made[path] = sink = Sink(path if self._keep else None, self.algorithm, on_bytes=self._on_bytes)
        return sink

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
