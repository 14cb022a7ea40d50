"""Keeping code out of the zip: functions and classes of the training script are not pickled into ``model.zip``.

SB3 pickles schedules and policies by value where they come from the training script (a ``lambda`` learning rate, a
network class in ``__main__``): whoever loads such a zip runs that code, and no check can tell it from an attack. In
their place go a number (a schedule's current value) or a line of text that says what to give as ``custom_objects``.
"""

import contextlib
import importlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ckptkit.problem import Problem
from ckptkit_sb3.names import full_name

_SMALL = 4096
"""Bytes of the longest pickle whose judgement is remembered."""
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf")


@contextlib.contextmanager
def code_replaced(model: Any) -> Iterator[list[str]]:
    """Put stand-ins for attributes that hold code, and take them out again.

    Args:
        model: the algorithm, about to write its zip in the body.

    Yields:
        The names of the replaced attributes, sorted.
    """
    skip = {n.partition(".")[0] for group in model._get_torch_save_params() for n in group}
    skip |= set(model._excluded_save_params())
    found = {n: v for n, v in vars(model).items() if n not in skip and not _is_json(v) and _holds_code(v)}
    stand_ins = {name: _stand_in(name, value, model) for name, value in found.items()}
    if "learning_rate" in found and "lr_schedule" in found:
        stand_ins["lr_schedule"] = stand_ins["learning_rate"]  # SB3 rebuilds it from the learning rate
    vars(model).update(stand_ins)
    try:
        yield sorted(found)
    finally:
        vars(model).update(found)


def _stand_in(name: str, value: Any, model: Any) -> Any:
    if name in _SCHEDULES and callable(value):
        return float(value(model._current_progress_remaining))
    described = full_name(value if isinstance(value, type) else type(value))
    return f"not in this zip: a {described} of the training script; give it in custom_objects"


def _holds_code(value: Any) -> bool:
    cloudpickle = importlib.import_module("cloudpickle")  # SB3 brings it; it has no types
    try:
        data = cloudpickle.dumps(value)
    except Exception:  # model.save will meet the same error and report it
        return False
    return (_is_unsafe if len(data) <= _SMALL else _is_unsafe.__wrapped__)(data)


@lru_cache(maxsize=256)
def _is_unsafe(data: bytes) -> bool:
    """Judge a pickle; most attributes are the same ones at every save."""
    from ckptkit.formats import pickles

    problems: list[Problem] = pickles.check_pickle(data, file="", where="")
    return any(p.severity == "unsafe" for p in problems)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
