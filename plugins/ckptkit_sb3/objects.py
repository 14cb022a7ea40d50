"""Objects whose whole state is attributes and slots of Python classes: which ones are, their slots, and bare ones."""

import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ckptkit_sb3.names import module_of

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not in C
_ABSTRACT = ("abc", "typing", "collections.abc")
_CLASSES = 1024
"""Of so many classes the answers are remembered: a save asks of each value in each environment."""


def is_plain_object(value: object) -> bool:
    """Return whether all state of an object is in its ``__dict__``: a Python class, no slots, no C part."""
    cls: Any = type(value)  # mypy does not take a class for hashable
    return hasattr(value, "__dict__") and _is_python(cls) and not _has_slots(cls) and _has_usual_metaclass(cls)


def is_slotted(value: object) -> bool:
    """Return whether an object has slots, all of them of Python classes."""
    cls: Any = type(value)
    return _is_python(cls) and _has_slots(cls)


def slots_of(value: object) -> dict[str, Any]:
    """Return the values in the slots of an object that are set, by name."""
    found = {}
    cls: Any = type(value)
    for name, member in _slots(cls):
        try:
            found[name] = member.__get__(value)
        except AttributeError:
            continue
    return found


def put_slots(value: object, held: Mapping[str, Any]) -> None:
    """Set the slots of an object, frozen or not; those that are not named are emptied."""
    for name in slots_of(value).keys() - held.keys():
        object.__delattr__(value, name)
    for name, part in held.items():
        object.__setattr__(value, name, part)


def bare(kind: type | None) -> Any:
    """Return an object without attributes, made without its constructor; None where that is not all of it.

    For objects that a fresh target does not have yet. A class with a finalizer is none: what it would do is decided by
    attributes, which come from a file.
    """
    if kind is None or hasattr(kind, "__del__"):
        return None
    try:
        made: Any = object.__new__(kind)
    except TypeError:  # abstract, or built on C
        return None
    return made if is_plain_object(made) or is_slotted(made) else None


@lru_cache(maxsize=_CLASSES)
def _slots(cls: type) -> tuple[tuple[str, Any], ...]:
    """Return the slots of a class and of those that it descends from; classes cannot get others later."""
    kinds = [kind for kind in cls.__mro__ if kind.__flags__ & _HEAP_TYPE]
    return tuple(p for kind in kinds for p in vars(kind).items() if isinstance(p[1], types.MemberDescriptorType))


@lru_cache(maxsize=_CLASSES)
def _is_python(cls: type) -> bool:
    return all(kind.__flags__ & _HEAP_TYPE for kind in _own_kinds(cls)) and not issubclass(cls, (BaseException, type))


@lru_cache(maxsize=_CLASSES)
def _has_slots(cls: type) -> bool:
    return any(vars(kind).get("__slots__") for kind in _own_kinds(cls))


@lru_cache(maxsize=_CLASSES)
def _has_usual_metaclass(cls: type) -> bool:
    return all(module_of(type(base)) in ("builtins", "abc", "typing") for base in cls.__mro__)


def _own_kinds(cls: type) -> list[type]:
    return [kind for kind in cls.__mro__[:-1] if module_of(kind) not in _ABSTRACT]
