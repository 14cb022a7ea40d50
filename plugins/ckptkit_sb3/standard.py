"""Values of Python's own library that are more than plain data: counters, default dicts, slots, ``itertools``.

``itertools`` objects are read without moving them: ``count`` by its repr, ``cycle`` by what it would be pickled as
(gone from Python 3.14 on: there they cannot be said).
"""

import ast
import itertools
import warnings
from collections import Counter, defaultdict
from typing import Any

from ckptkit_sb3.names import class_name
from ckptkit_sb3.objects import is_slotted, put_slots, slots_of

_MADE_BY: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, list, dict, set, tuple)}


def encode(encoder: Any, value: Any, where: str) -> dict[str, Any] | None:
    """Return the node of a value of this room, or None for another one."""
    if type(value) in (Counter, defaultdict):
        made_by = getattr(getattr(value, "default_factory", None), "__name__", None)
        return {"@": type(value).__name__, "made_by": made_by, "items": encoder.pairs(value, where)}
    if type(value) is itertools.count:
        numbers = _count_of(value)
        return None if numbers is None else {"@": "count", "start": numbers[0], "step": numbers[1]}
    if type(value) is itertools.cycle:
        turning = _cycle_of(value)
        if turning is None:
            return None
        return {"@": "cycle", "items": encoder.items(turning[0], where), "turned": turning[1]}
    if is_slotted(value):
        held = {k: encoder.encode(v, f"{where}.{k}") for k, v in sorted(slots_of(value).items())}
        own = encoder.attributes(value, where) if hasattr(value, "__dict__") else None
        return {"@": "slotted", "class": class_name(value), "slots": held, "attributes": own}
    return None


def _count_of(value: Any) -> tuple[Any, Any] | None:
    try:
        call: Any = ast.parse(repr(value), mode="eval").body
        numbers = [ast.literal_eval(a) for a in call.args]
    except (ValueError, SyntaxError):
        return None
    if not all(type(n) in (int, float) for n in numbers):
        return None
    return numbers[0], numbers[1] if len(numbers) > 1 else 1


def _cycle_of(value: Any) -> tuple[list[Any], int] | None:
    """Return all that a cycle goes through, and how many of it are behind it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated from Python 3.12 on
        try:
            _, (rest,), (saved, _) = value.__reduce__()
            if type(rest) not in (type(iter([])), type(iter(()))):
                return None
            parts = rest.__reduce__()
        except (TypeError, ValueError):
            return None
    whole, at = parts[1][0], parts[2] if len(parts) > 2 else 0
    if whole is saved:  # not for the first time any more
        return list(saved), at
    behind = list(saved)
    return behind + list(whole)[at:], len(behind)


def _dict_like(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    made: Any = Counter()
    if node["@"] == "defaultdict":
        factory = existing.default_factory if isinstance(existing, defaultdict) else _MADE_BY.get(node["made_by"])
        made = defaultdict(factory)
    return decoder.fill(made, node, existing, where)


def _count(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    return decoder.remember(node, itertools.count(node["start"], node["step"]))


def _cycle(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    turning = _cycle_of(existing) if type(existing) is itertools.cycle else None
    made = itertools.cycle(list(decoder.items(node, turning[0] if turning is not None else (), where)))
    for _ in range(int(node["turned"])):
        next(made)
    return decoder.remember(node, made)


def _slotted(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    existing = decoder.stand_in(node, existing, where)
    decoder.remember(node, existing)
    olds = slots_of(existing)
    held = {k: decoder.decode(v, olds.get(k), f"{where}.{k}") for k, v in sorted(node["slots"].items())}
    if node["attributes"] is not None:
        decoder.attributes(node["attributes"], existing, where)
    decoder.later(lambda: put_slots(existing, held))
    return existing


KINDS = {
    "Counter": _dict_like,
    "defaultdict": _dict_like,
    "count": _count,
    "cycle": _cycle,
    "slotted": _slotted,
}
"""What decodes the nodes of this room, by kind."""
