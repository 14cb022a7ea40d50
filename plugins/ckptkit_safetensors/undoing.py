"""Actions on live objects that can be taken back: all of a restore, or nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Action = Callable[[], Callable[[], None]]
"""Changes the target and returns how to take that back."""


@contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Take a step back if it fails half-way."""
    try:
        yield
    except BaseException:
        undo()
        raise


def in_turn(actions: Sequence[Action], then: Callable[[], None] = lambda: None) -> Action:
    """Return one action of many: they are all taken back where one of them, or what comes then, fails."""

    def act() -> Callable[[], None]:
        done: list[Callable[[], None]] = []

        def undo() -> None:
            for step in reversed(done):
                step()

        with undone(undo):
            for action in actions:
                done.append(action())
            then()
        return undo

    return act
