"""Memory for copies of training state, used again from save to save: new memory takes longer to get than to fill."""

import mmap
from contextlib import suppress

_BLOCK = 256 << 20  # bytes of addresses; memory is taken by those that are written to alone
_APART = 64  # bytes: what processors and libraries want tensors to be aligned to
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14
_WIPE_ON_FORK = 18  # MADV_WIPEONFORK, Linux 4.14: else the first write after a fork copies each page
_AT_ONCE = 16 << 20  # bytes: meanwhile no other thread runs
_PAGE = mmap.PAGESIZE
_IDLE = 8  # saves that can do without some memory before it is given back: not all of them save everything


class Buffers:
    """Memory of one process; a forked child finds zeros in it. One thread at a time takes from it."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    @property
    def size(self) -> int:
        """Bytes that it may hold."""
        return sum(len(block.memory) for block in self._blocks)

    def take(self, size: int) -> memoryview:
        """Return writable memory of so many bytes, which nobody else has until ``release``."""
        for block in self._blocks:
            if block.used + size <= len(block.memory):
                return block.take(size)
        return self._added(max(size, _BLOCK)).take(size)

    def release(self) -> None:
        """Say that all of it may be taken again; what was not needed for some time is given back."""
        for block in self._blocks:
            block.idle = 0 if block.used else block.idle + 1
            block.used = 0
        self._blocks = [block for block in self._blocks if block.idle < _IDLE]

    def reserve(self, size: int) -> None:
        """Have so many bytes ready, each page of them the process's own already."""
        if (missing := size - self.size) > 0:
            self._added(missing).populate()

    def _added(self, size: int) -> "_Block":
        block = _Block(size)
        self._blocks.append(block)
        return block


class _Block:
    """One range of addresses, taken from its beginning to its end."""

    def __init__(self, size: int) -> None:
        self.memory = mmap.mmap(-1, -(-size // _PAGE) * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.used = self.idle = 0
        with suppress(OSError):  # a system without it: the same memory, slower after a fork
            self.memory.madvise(_WIPE_ON_FORK)

    def take(self, size: int) -> memoryview:
        start = self.used
        self.used = -(-(start + size) // _APART) * _APART
        return memoryview(self.memory)[start : start + size]

    def populate(self) -> None:
        for start in range(0, len(self.memory), _AT_ONCE):
            length = min(_AT_ONCE, len(self.memory) - start)
            try:
                self.memory.madvise(_POPULATE_WRITE, start, length)
            except OSError:
                self.memory[start : start + length : _PAGE] = bytes(-(-length // _PAGE))
