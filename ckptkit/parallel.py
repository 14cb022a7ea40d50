"""Tasks in several threads, for one caller: what they tell, and how they end, comes to the caller's own thread."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Tell = Callable[[int], None]
"""Takes how much was done, in bytes."""
_TOLD = 1 << 22  # bytes that a thread keeps to itself: each word of it wakes up the caller


class _EndedError(Exception):
    """Nobody waits for the task any more."""


def results(tasks: Sequence[Callable[[Tell], T]], threads: int, told: Tell) -> list[T]:
    """Return what the tasks return, in their order.

    Args:
        tasks: each is called with what it tells its progress; where nobody waits any more, telling ends it.
        threads: how many run at a time, if the system gives so many threads. A single task, and all tasks where there
            is to be one thread, run in the caller's.
        told: called with what the tasks tell, in the caller's thread.

    Raises:
        Exception: what ``told`` or a task raised first. No task runs any more then.
    """
    waiting: SimpleQueue[tuple[int, Callable[[Tell], T]]] = SimpleQueue()
    for numbered in enumerate(tasks):
        waiting.put(numbered)
    news: SimpleQueue[Any] = SimpleQueue()
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.is_set():
                number, task = waiting.get_nowait()
                teller = _Teller(news, ended)
                result = task(teller.add)
                teller.tell()
                news.put((number, result))
        except Empty:
            return
        except BaseException as error:  # for the caller to raise
            news.put(error)

    crew = _started(work, min(threads, len(tasks)))
    if not crew:
        return [task(told) for task in tasks]
    done: dict[int, T] = {}
    try:
        while len(done) < len(tasks):
            said = news.get()
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, int):
                told(said)
            else:
                done[said[0]] = said[1]
    finally:
        ended.set()
        for thread in crew:
            thread.join()
    return [done[number] for number in range(len(tasks))]


class _Teller:
    def __init__(self, news: SimpleQueue[Any], ended: threading.Event) -> None:
        self._news, self._ended = news, ended
        self._untold = 0

    def add(self, count: int) -> None:
        if self._ended.is_set():
            raise _EndedError
        self._untold += count
        if self._untold >= _TOLD:
            self.tell()

    def tell(self) -> None:
        if self._untold:
            self._news.put(self._untold)
            self._untold = 0


def _started(work: Callable[[], None], count: int) -> list[threading.Thread]:
    crew: list[threading.Thread] = []
    while 1 < count > len(crew):
        thread = threading.Thread(target=work, name=f"ckptkit {len(crew)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the limit of processes or of memory: fewer do as well
            break
        crew.append(thread)
    return crew
