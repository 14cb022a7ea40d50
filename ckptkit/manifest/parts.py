"""What a part of a manifest is: an immutable object, whose annotations say which values its fields may have.

Pydantic would do as well, but to import it and to build its models takes longer than most commands do. Tests hold the
two to the same verdicts, in the same words.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, cast, dataclass_transform, get_args, get_origin

from ckptkit.errors import ManifestError

Place = tuple[str | int, ...]
"""Names of fields, keys and indices that lead to a value."""
_ABSENT: Any = object()
_OTHERS = "(others)"  # no field's name: nothing in a manifest can take the place of a method


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value must be besides of its type.

    Attributes:
        least: the least number; of text, lists and keyed values the least length.
        most: the greatest, likewise.
        pattern: what a text must match, from its start to its end.
        also: raises ValueError, with the words for people.
    """

    least: int | None = None
    most: int | None = None
    pattern: str | None = None
    also: Callable[[Any], object] | None = None


@dataclass(slots=True)
class Faults:
    """What was found in the fields of a part.

    Attributes:
        wrong: where a value is not as it must be, and what it should be.
        unknown: where a field is that the part does not have.
    """

    wrong: list[tuple[Place, str]] = field(default_factory=list)
    unknown: list[Place] = field(default_factory=list)

    def require_none_wrong(self) -> None:
        """Raise ManifestError, which names the first value that is wrong."""
        if self.wrong:
            place, said = self.wrong[0]
            more = f" (and {len(self.wrong) - 1} more)" if len(self.wrong) > 1 else ""
            raise ManifestError(f"field {'.'.join(map(str, place))[:160] or '(top)'}: {said}{more}")


Check = Callable[[Any, Place, Faults], Any]
"""Returns the value at a place as it is kept, and adds whatever is wrong with it to the faults."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
class Part:
    """Base of all parts: strict types, immutable. Fields that it does not have are kept; ``reading`` judges them."""

    def __init__(self, **fields: Any) -> None:
        faults = Faults()
        self.__dict__.update(_kept(type(self), fields, (), faults))
        faults.require_none_wrong()

    @classmethod
    def read(cls, fields: object, faults: Faults | None = None) -> Self:
        """Return the part that has these fields, as plain values; raises ManifestError where one of them is wrong.

        Args:
            fields: by name.
            faults: told what else was found.
        """
        faults = Faults() if faults is None else faults
        part: Self = _of_part(cls)(fields, (), faults)
        faults.require_none_wrong()
        return part

    def plain(self) -> dict[str, Any]:
        """Return all fields as plain values, in the order of their annotations; then those that it does not have."""
        others: dict[str, Any] = self.__dict__.get(_OTHERS, {})
        return {name: _plain(value) for name, value in self.__dict__.items() if name != _OTHERS} | others

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def annotated(part: type[Part]) -> Iterator[tuple[str, Any, Callable[[], Any] | None]]:
    """Yield each field of a part: its name, its annotation, and what makes its default; None where it must be given."""
    for name, hint in part.__annotations__.items():
        yield name, hint, _maker(part.__dict__.get(name, _ABSENT))


def _maker(given: Any) -> Callable[[], Any] | None:
    if isinstance(given, Field):
        return cast("Callable[[], Any]", given.default_factory)
    return None if given is _ABSENT else lambda: given


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.plain()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


@cache
def _checks(part: type[Part]) -> Mapping[str, tuple[Check, Callable[[], Any] | None]]:
    return {name: (_check(hint), make) for name, hint, make in annotated(part)}


def _kept(part: type[Part], given: Mapping[str, Any], place: Place, faults: Faults) -> dict[str, Any]:
    checks = _checks(part)  # type: ignore[arg-type]  # it has its own hash, whatever that of an object is
    unknown = [] if given.keys() <= checks.keys() else [name for name in given if name not in checks]
    faults.unknown += [(*place, name) for name in unknown]
    kept: dict[str, Any] = {}
    for name, (check, make) in checks.items():
        value = given.get(name, _ABSENT)
        if value is not _ABSENT:
            kept[name] = check(value, (*place, name), faults)
        elif make is not None:
            kept[name] = make()
        else:
            faults.wrong.append(((*place, name), "is missing"))
    if unknown:
        kept[_OTHERS] = {name: given[name] for name in unknown}
    return kept


def _check(hint: Any) -> Check:
    """Return what checks the values of an annotation."""
    base, *said = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    limits = next((one for one in said if isinstance(one, Limits)), Limits())
    kind, inner = get_origin(base), get_args(base)
    if kind in (Union, UnionType):
        return _or_none(_check(next(one for one in inner if one is not type(None))))
    if kind is Literal:
        return _one_of(inner)
    if kind is list:
        return _list(_check(inner[0]), limits)
    if kind is dict:
        return _keyed(_check(inner[0]), _check(inner[1]), limits)
    return _of_part(base) if base not in _PLAIN else _PLAIN[base](limits)


def _anything(_: Limits) -> Check:
    return lambda value, place, faults: value


def _or_none(check: Check) -> Check:
    return lambda value, place, faults: None if value is None else check(value, place, faults)


def _one_of(words: tuple[str, ...]) -> Check:
    said = " or ".join(filter(None, [", ".join(map(repr, words[:-1])), repr(words[-1])]))

    def check(value: Any, place: Place, faults: Faults) -> Any:
        if not isinstance(value, str) or value not in words:
            faults.wrong.append((place, f"should be {said}"))
        return value

    return check


def _flag(_: Limits) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if type(value) is not bool:
            faults.wrong.append((place, "should be true or false"))
        return value

    return check


def _whole(limits: Limits) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            faults.wrong.append((place, "should be a whole number"))
        elif limits.most is not None and value > limits.most:
            faults.wrong.append((place, f"should be at most {limits.most}"))
        elif limits.least is not None and value < limits.least:
            faults.wrong.append((place, f"should be at least {limits.least}"))
        return value

    return check


def _number(_: Limits) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if isinstance(value, float):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                pass
        faults.wrong.append((place, "should be a number"))
        return value

    return check


def _text(limits: Limits) -> Check:
    least, most = limits.least or 0, limits.most
    matches = None if limits.pattern is None else re.compile(limits.pattern).fullmatch

    def check(value: Any, place: Place, faults: Faults) -> Any:
        if not isinstance(value, str):
            faults.wrong.append((place, "should be text"))
        elif most is not None and len(value) > most:
            faults.wrong.append((place, f"should have at most {most} characters"))
        elif len(value) < least:
            faults.wrong.append((place, f"should have at least {least} characters"))
        elif matches is not None and matches(value) is None:
            faults.wrong.append((place, "is not written as it must be"))
        elif limits.also is not None:
            try:
                limits.also(value)
            except ValueError as error:
                faults.wrong.append((place, str(error)))
        return value

    return check


def _too_few_or_many(count: int, limits: Limits) -> str | None:
    if limits.most is not None and count > limits.most:
        return f"should have at most {limits.most} of them"
    return f"should have at least {limits.least} of them" if count < (limits.least or 0) else None


def _list(inner: Check, limits: Limits) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if not isinstance(value, list):
            faults.wrong.append((place, "should be a list"))
        elif said := _too_few_or_many(len(value), limits):
            faults.wrong.append((place, said))
        else:
            return [inner(one, (*place, index), faults) for index, one in enumerate(value)]
        return value

    return check


def _keyed(key: Check, inner: Check, limits: Limits) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if not isinstance(value, dict):
            faults.wrong.append((place, "should hold keys and values"))
            return value
        before, kept = len(faults.wrong), {}
        for name, one in value.items():
            key(name, (*place, name, "[key]"), faults)
            kept[name] = inner(one, (*place, name), faults)
        if len(faults.wrong) == before and (said := _too_few_or_many(len(value), limits)):
            faults.wrong.append((place, said))
        return kept

    return check


def _of_part(part: type[Part]) -> Check:
    def check(value: Any, place: Place, faults: Faults) -> Any:
        if isinstance(value, dict):
            made = object.__new__(part)
            made.__dict__.update(_kept(part, value, place, faults))
            return made
        if not isinstance(value, part):
            faults.wrong.append((place, "should hold keys and values"))
        return value

    return check


_PLAIN: Mapping[Any, Callable[[Limits], Check]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    Any: _anything,
}
