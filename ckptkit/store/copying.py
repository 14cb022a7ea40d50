"""Copies of training state in memory: where they go, and by how many cores they are made."""

from collections.abc import Callable, Sequence

from ckptkit import cores, parallel
from ckptkit.buffers import Buffers

_MOST_THREADS = 8  # more do not make memory faster
_WORTH_IT = 8 << 20  # bytes: less is copied before a thread has begun


class Memory:
    """Memory for the copies of one save.

    Args:
        buffers: where it comes from.
    """

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self._undone = 0

    def take(self, size: int) -> memoryview:
        """Return writable memory of so many bytes."""
        self._undone += size
        return self._buffers.take(size)

    def together(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Do tasks that fill what was taken, in several threads where there is much to copy."""
        threads = min(_MOST_THREADS, cores.available(), len(tasks)) if self._undone > _WORTH_IT else 1
        self._undone = 0
        left = iter(tuple(tasks))  # one for all threads: each takes the next

        def some(_: parallel.Tell) -> None:
            for task in left:
                task()

        parallel.results([some] * threads, threads, lambda _: None)
