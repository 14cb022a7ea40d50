"""A stream over an object: blocks are asked for ahead of the reader, each by a request that can be tried again."""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from ckptkit.errors import ConflictError
from ckptkit.storage.objects.service import Info

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 1 << 22  # bytes of one request
AHEAD = 4  # requests under way while a block is used


class Read(Protocol):
    """Reads a range: ``Objects.read``."""

    def __call__(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        """Return bytes and what the object is."""


class ObjectStream(io.RawIOBase):
    """Reads from the start; all of it is of one version of the object.

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
        self._used = 0  # of the block
        self._asked = len(self._block)  # how far the blocks that were asked for reach
        self._coming: deque[Future[tuple[bytes, Info]]] = deque()
        more = self.info.size > self._asked
        self._crew = ThreadPoolExecutor(AHEAD, "ckptkit-reads") if more else None
        self._ask()

    def _ask(self) -> None:
        while self._crew and len(self._coming) < AHEAD and self._asked < self.info.size:
            self._coming.append(self._crew.submit(self._read, self._key, self._asked, BLOCK))
            self._asked += BLOCK

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer from its start, and return how many bytes; none at the end.

        Raises:
            ConflictError: the object was written over meanwhile.
            StoreError: the service failed.
        """
        view = memoryview(buffer).cast("B")
        if self._used == len(self._block) and self._coming:
            self._block, info = self._coming.popleft().result()
            self._used = 0
            self._ask()
            if info.version != self.info.version or not self._block:
                raise ConflictError(f"{self._url}: changed while it was read", hint="try again")
        count = min(len(view), len(self._block) - self._used)
        view[:count] = memoryview(self._block)[self._used : self._used + count]
        self._used += count
        return count

    def close(self) -> None:
        """Take back what was asked for; what is under way ends by itself."""
        if not self.closed and (crew := getattr(self, "_crew", None)):
            crew.shutdown(wait=False, cancel_futures=True)
            self._coming.clear()
        super().close()
