"""A stream over an object: blocks are asked for ahead of who reads on, each by a request that can be tried again."""

import errno
import io
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from ckptkit.errors import ConflictError
from ckptkit.storage.objects.service import Info

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 23  # bytes of one request
AHEAD = 3  # requests under way while a block is used
GLANCE = 1 << 16  # bytes of the first request at a place that was sought; who reads on there gets more each time


class Read(Protocol):
    """Reads a range: ``Objects.read``."""

    def __call__(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        """Return bytes and what the object is."""


class ObjectStream(io.RawIOBase):
    """Reads from the start, or from a place that was sought; all of it is of one version of the object.

    Args:
        read: reads a range.
        key: of the object.
        url: how it is called in an error.

    Raises:
        FileNotFoundError: there is no such object.
    """

    def __init__(self, read: Read, key: str, url: str) -> None:
        super().__init__()
        self._read, self._key, self._url = read, key, url
        self._block, self.info = read(key, 0, BLOCK)
        self._begins = 0  # where the block does
        self._place = 0  # of who reads
        self._length = BLOCK  # of the next request; only whole blocks are asked for ahead
        self._asked = len(self._block)  # how far what was asked for reaches
        self._coming: deque[Future[tuple[bytes, Info]]] = deque()
        self._crew: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, as in a file, and return it; nothing is asked for until somebody reads there."""
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.info.size}[whence]
        if place < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if place != self._place:
            self._length = GLANCE
        self._place = place
        return place

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer from its start, and return how many bytes; fewer than it holds only at the end.

        Raises:
            ConflictError: the object was written over meanwhile.
            StoreError: the service failed.
        """
        view = memoryview(buffer).cast("B")
        filled = 0
        self._ask()
        while filled < len(view) and self._place < self.info.size:
            used = self._place - self._begins
            if not 0 <= used < len(self._block):
                self._turn()
                continue
            count = min(len(view) - filled, len(self._block) - used)
            view[filled : filled + count] = memoryview(self._block)[used : used + count]
            filled += count
            self._place += count
        return filled

    def _ask(self) -> None:
        """Ask for what follows, while who reads has not sought."""
        while self._length == BLOCK and len(self._coming) < AHEAD and self._asked < self.info.size:
            self._crew = self._crew or ThreadPoolExecutor(AHEAD, "ckptkit-reads")
            self._coming.append(self._crew.submit(self._read, self._key, self._asked, BLOCK))
            self._asked += BLOCK

    def _turn(self) -> None:
        """Get the block at the place: one that is under way, or else a request for it alone."""
        if self._place != self._begins + len(self._block):
            self._forget()
            self._asked = self._place
        self._begins = self._place
        if self._coming:
            block, info = self._coming.popleft().result()
        else:
            block, info = self._read(self._key, self._place, self._length)
            self._asked = self._place + len(block)
            self._length = min(self._length * 4, BLOCK)
        if info.version != self.info.version or not block:
            raise ConflictError(f"{self._url}: changed while it was read", hint="try again")
        self._block = block
        self._ask()

    def _forget(self) -> None:
        """Take back what was asked for; what is under way ends by itself."""
        for one in self._coming:
            one.cancel()
        self._coming.clear()

    def close(self) -> None:
        """Take back what was asked for; what is under way ends by itself."""
        if not self.closed and (crew := getattr(self, "_crew", None)):
            self._forget()
            crew.shutdown(wait=False, cancel_futures=True)
        super().close()
