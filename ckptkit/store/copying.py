"""Copies of training state in memory: where they go, and by how many cores they are made."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from ckptkit import cores
from ckptkit.buffers import Buffers

_MOST_THREADS = 8  # more do not make memory faster
_WORTH_IT = 8 << 20  # bytes: less is copied before another thread has begun


def crew() -> Executor:
    """Return threads that help to copy, kept from save to save: to begin one takes long where the cores are busy."""
    return ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="ckptkit copy")


class Memory:
    """Memory for the copies of one save.

    Args:
        buffers: where it comes from.
        helpers: as of ``crew``.
    """

    def __init__(self, buffers: Buffers, helpers: Executor) -> None:
        self._buffers, self._helpers = buffers, helpers
        self._undone = 0

    def take(self, size: int) -> memoryview:
        """Return writable memory of so many bytes."""
        self._undone += size
        return self._buffers.take(size)

    def together(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Do tasks that fill what was taken, with the help of others where there is much to copy."""
        threads = min(_MOST_THREADS, cores.available(), len(tasks)) if self._undone > _WORTH_IT else 1
        self._undone = 0
        left = iter(tuple(tasks))  # one for all threads: each takes the next

        def some() -> None:
            for task in left:
                task()

        helping = [self._helpers.submit(some) for _ in range(threads - 1)]
        try:
            some()
        finally:  # those that never began have nothing left to do
            began = [future for future in helping if not future.cancel()]
            failures = [future.exception() for future in began]
        for failure in failures:
            if failure is not None:
                raise failure
