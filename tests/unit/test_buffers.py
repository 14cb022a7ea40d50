"""Memory that is used again: nobody gets what somebody has, and what nobody needs is given back."""

import mmap
import os

from ckptkit.buffers import Buffers


def filled(buffers: Buffers, size: int, value: int) -> memoryview:
    memory = buffers.take(size)
    memory[:] = bytes([value]) * size
    return memory


def test_nobody_gets_what_somebody_has() -> None:
    buffers = Buffers()
    taken = [filled(buffers, size, value) for value, size in enumerate([1, 63, 64, 65, 4096, 100_000, 0, 7])]
    assert all(bytes(memory) == bytes([value]) * len(memory) for value, memory in enumerate(taken))


def test_what_is_released_is_taken_again() -> None:
    buffers = Buffers()
    for _ in range(5):
        for size in (1 << 20, 3 << 20, 100):
            filled(buffers, size, 1)
        size = buffers.size
        buffers.release()
    assert buffers.size == size


def test_what_is_not_needed_for_some_time_is_given_back() -> None:
    buffers = Buffers()
    buffers.reserve(1 << 20)
    buffers.take(buffers.size + 1)
    large, sizes = buffers.size, []
    buffers.release()
    for _ in range(20):
        buffers.take(1)
        buffers.release()
        sizes.append(buffers.size)
    assert sizes[0] == large  # a small save between large ones
    assert 0 < sizes[-1] < large


def test_reserved_memory_is_there_already() -> None:
    buffers = Buffers()
    buffers.reserve(8 << 20)
    before = resident()
    memory = buffers.take(8 << 20)
    for start in range(0, len(memory), mmap.PAGESIZE):  # one byte each: what is put together first is memory, too
        memory[start] = 1
    assert resident() - before < 1 << 20


def test_reserving_leaves_alone_what_is_taken() -> None:
    buffers = Buffers()
    memory = filled(buffers, 1 << 20, 7)
    buffers.reserve(buffers.size + (1 << 20))
    assert bytes(memory) == b"\7" * len(memory)


def test_a_write_goes_to_this_process_alone() -> None:
    memory = filled(Buffers(), 4096, 7)
    child = os.fork()
    if child == 0:
        memory[:] = bytes(4096)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(memory) == b"\7" * 4096


def resident() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
