"""Rules that the checkpoints of a run must meet, as people write them: ``age<24h``, ``count>=2``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.grades import GRADES

EXACT = "exact"
"""Better than each grade: it was shown that the run goes on from there as it would have."""
FROM_BEST = (EXACT, *GRADES)
_RULE = re.compile(r"\s*([a-z-]+)\s*(<=|>=|==|<|>|=)\s*(\S(?:.*\S)?)\s*")
_HINT = "for example 'grade>=complete', 'age<24h', 'count>=2', 'unsafe==0', 'damaged==0', 'signed-by==NAME'"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        text: as it is told: ``age<24h``.
        name: what is judged: ``grade`` and ``signed-by`` of the newest good checkpoint, ``age`` of the good one that
            was saved last, ``count`` of the good ones, ``damaged`` and ``unsafe`` of those that are.
        compare: ``<``, ``<=``, ``==`` or ``>=``.
        value: an index into ``FROM_BEST``, seconds, a number, or a name.
    """

    text: str
    name: str
    compare: str
    value: Any


def parse(text: str) -> Rule:
    """Return the rule behind a text.

    Raises:
        UsageError: it is none.
    """
    match = _RULE.fullmatch(text)
    if match is None or match[1] not in _KNOWN:
        raise UsageError(f"{text[:80]!r} is not a rule", hint=_HINT)
    name, compare, word = match[1], match[2].replace("==", "=").replace("=", "=="), match[3]
    compare = {"<==": "<=", ">==": ">="}.get(compare, compare)
    compares, read = _KNOWN[name]
    if compare not in compares:
        ways = " or ".join(f"{name}{way}" for way in compares)
        raise UsageError(f"rule {text[:80]!r}: {name} is not compared by {match[2]}", hint=f"write {ways}")
    try:
        value = read(word)
    except UsageError as error:
        raise UsageError(f"rule {text[:80]!r}: {error.message}", hint=error.hint) from error
    return Rule(f"{name}{compare}{word}", name, compare, value)


def _grade(word: str) -> int:
    if word not in FROM_BEST:
        raise UsageError(f"{word[:40]!r} is no grade", hint=f"from best to worst: {', '.join(FROM_BEST)}")
    return FROM_BEST.index(word)


def _age(word: str) -> float:
    from ckptkit.retention import parse_duration

    return parse_duration(word).total_seconds()


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        raise UsageError(f"{word[:40]!r} is no number", hint="write a whole number, such as 2")
    return int(word)


_KNOWN: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "grade": ((">=", "=="), _grade),
    "age": (("<", "<="), _age),
    "count": ((">=",), _number),
    "damaged": (("==", "<="), _number),
    "unsafe": (("==", "<="), _number),
    "signed-by": (("==",), str),
}
