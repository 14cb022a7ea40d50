"""Arguments of the form NAME=VALUE."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ckptkit.errors import UsageError

T = TypeVar("T")


def parse(pairs: Sequence[str], option: str, convert: Callable[[str], T]) -> dict[str, T]:
    """Return the pairs as a dict; raises UsageError naming the option, and for a name given twice."""
    result: dict[str, T] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {pair!r} is not NAME=VALUE", hint=f"for example {option} reward=187.5")
        if name in result:
            raise UsageError(f"{option} {name!r} is given twice")
        try:
            result[name] = convert(value)
        except ValueError as error:
            raise UsageError(f"{option} {name!r}: its value is not a number") from error
    return result


def count(text: str) -> int:
    """Return a whole number from 0 on; raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)


def require_run(run: str, *, items: bool) -> str:
    """Return the run's name; raises UsageError where it was forgotten, so that an item stands in its place.

    Args:
        run: the first word. A run may well be called ``sweep/lr=0.1``.
        items: whether items follow it.
    """
    name, equals, path = run.partition("=")
    if equals and (not items or Path(path).exists()):
        raise UsageError(f"RUN is missing before {name}=...", hint=f"ckptkit save RUN --step N {name}=PATH")
    return run
