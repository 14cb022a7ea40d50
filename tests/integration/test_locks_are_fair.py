"""Savers that keep arriving, and a prune that wants its turn: it gets one, and no save ever waits for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ckptkit.errors import LockedError
from ckptkit.storage.local import locks

pytestmark = pytest.mark.on_disk("lock files; the laws of the kit say it of every store")
SAVE = 0.1  # seconds that a save takes


@contextmanager
def savers(state: Path, count: int = 8) -> Iterator[None]:
    """Save without a pause, so many at a time, that at no moment nobody saves."""
    ended, busy = threading.Event(), threading.Barrier(count + 1)

    def save(number: int) -> None:
        time.sleep(SAVE * number / count)
        for turn in range(10_000):
            with locks.saving(state):
                if turn == 0:
                    busy.wait()
                ended.wait(SAVE)
            if ended.is_set():
                return

    threads = [threading.Thread(target=save, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    busy.wait()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_steady_savers_do_not_starve_a_prune(tmp_path: Path) -> None:
    began = time.monotonic()
    with savers(tmp_path):
        for _ in range(5):
            with locks.alone(tmp_path, wait_for_saves=20):
                pass
            time.sleep(2 * SAVE)  # all of them save again
    assert time.monotonic() - began < 15


def test_a_save_waits_for_no_prune(tmp_path: Path) -> None:
    with locks.alone(tmp_path):
        began = time.monotonic()
        with locks.saving(tmp_path):
            pass
        assert time.monotonic() - began < 1


def test_a_save_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    with savers(tmp_path, count=1):
        began = time.monotonic()
        with locks.alone(tmp_path, wait=0):
            assert time.monotonic() - began < 10


def test_a_save_that_takes_too_long_is_told(tmp_path: Path) -> None:
    told = pytest.raises(LockedError, match="another ckptkit is saving here")
    with locks.saving(tmp_path), told, locks.alone(tmp_path, wait_for_saves=0.2):
        pass


def test_another_prune_is_told(tmp_path: Path) -> None:
    told = pytest.raises(LockedError, match="another ckptkit is pruning here")
    with locks.alone(tmp_path), told, locks.alone(tmp_path, wait=0.2):
        pass
