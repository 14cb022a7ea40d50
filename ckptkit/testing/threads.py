"""Threads for laws about what happens at once: their errors are those of the law."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


def at_once(function: Callable[[int], T], count: int) -> Sequence[T]:
    """Call a function in so many threads that begin together; returns what each returned, or raises what one raised."""
    ready, results, errors = threading.Barrier(count), [], []

    def call(number: int) -> None:
        ready.wait()
        try:
            results.append(function(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@contextmanager
def meanwhile(look: Callable[[], object]) -> Iterator[None]:
    """Call a function again and again in another thread until the block ends; raises what it raised."""
    ended, begun = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def repeat() -> None:
        while not ended.is_set() and not errors:
            try:
                look()
            except BaseException as error:
                errors.append(error)
            begun.set()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def entering(context: AbstractContextManager[object]) -> Iterator[threading.Event]:
    """Enter a context in another thread, and leave it again; yields an event that is set once it was entered."""
    entered, errors = threading.Event(), []

    def enter() -> None:
        try:
            with context:
                entered.set()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    yield entered
    thread.join()
    if errors:
        raise errors[0]


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Return whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
