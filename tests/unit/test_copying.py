"""Copies are made by several threads, all of them, and what one of them raises is raised."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from ckptkit import cores
from ckptkit.buffers import Buffers
from ckptkit.store.copying import Memory, crew

SIZE = 1 << 20


def filling(memory: Memory, count: int, threads: set[int]) -> tuple[list[memoryview], list[Callable[[], object]]]:
    """Return memory and the tasks that fill it; each tells the thread that did it."""
    taken = [memory.take(SIZE) for _ in range(count)]

    def fill(number: int) -> None:
        threads.add(threading.get_ident())
        taken[number][:] = bytes([number]) * SIZE

    return taken, [partial(fill, number) for number in range(count)]


@pytest.mark.parametrize("available", [1, 2, 5])
def test_every_task_is_done(available: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: available)
    helpers, threads = crew(), set[int]()
    for _ in range(3):
        threads.clear()
        taken, tasks = filling(memory := Memory(Buffers(), helpers), 20, threads)
        memory.together(tasks)
        assert all(bytes(view) == bytes([number]) * SIZE for number, view in enumerate(taken))
        assert len(threads) <= available


def test_what_another_thread_raises_is_raised_when_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: 2)
    memory, here, ended = Memory(Buffers(), crew()), threading.get_ident(), []

    def fail() -> None:
        if threading.get_ident() != here:
            raise OSError("no memory")
        time.sleep(0.2)
        ended.append(1)

    memory.take(64 << 20)
    with pytest.raises(OSError, match="no memory"):
        memory.together([fail] * 4)
    assert ended
