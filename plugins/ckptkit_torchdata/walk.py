"""Finds what the parts of a loader hold: attributes, closures, class attributes, globals their code names, containers.

A *place* is where something is, as a person would write it: ``dataset.transforms[0].rng``, ``collate<closure>.count``.
"""

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit_torchdata import entries as named
from ckptkit_torchdata import fingerprints, values
from ckptkit_torchdata.generators import kind_of
from ckptkit_torchdata.states import takes_state

_DEEPEST = 6
_MOST_OBJECTS = 5000
_MOST_ENTRIES = 32  # of one list or dict of objects: a dataset may hold millions of samples
_OPAQUE = (
    "asyncio", "builtins", "collections", "concurrent", "io", "jax", "logging", "multiprocessing", "numpy", "pandas",
    "pathlib", "pyarrow", "tensorflow", "threading", "torch", "weakref",
)  # fmt: skip
_FOREIGN = (
    *_OPAQUE, "abc", "accelerate", "datasets", "enum", "lightning", "pytorch_lightning", "tokenizers", "torchvision",
    "transformers", "typing",
)  # fmt: skip
"""Whose classes and functions hold no state of the user's."""
_CLEAR = ("torch.utils.data", "torch.nn.", "torchvision.")
_CONTAINERS = (list, tuple, dict, deque, set, frozenset)
_NOTHING = object()

Leave = Callable[["Holder", str], bool]


@dataclass(slots=True)
class Holder:
    """Something whose entries can be read and put by name.

    Attributes:
        place: where it is.
        owner: the object that keeps the entries alive.
        entries: by name.
        put: sets an entry.
        drop: takes one away; None where that cannot be.
        named: how an entry is written: ``.{}`` or ``[{}]``.
    """

    place: str
    owner: Any
    entries: Mapping[str, Any]
    put: Callable[[str, Any], object]
    drop: Callable[[str], object] | None = None
    named: str = ".{}"

    def name(self, key: str) -> str:
        """Return the place of an entry."""
        return self.place + self.named.format(key)

    def key_of(self, place: str) -> str | None:
        """Return the name of the entry that is at a place, or None."""
        before, after = self.named.split("{}")
        if not place.startswith(self.place + before) or not place.endswith(after):
            return None
        key = place[len(self.place + before) : len(place) - len(after)]
        return key if self.name(key) == place and not any(sign in key for sign in ".[<") else None


@dataclass(slots=True)
class Slot:
    """What one entry holds: a ``value`` that can be saved, or else a mark that changes with it.

    Attributes:
        kind: ``value``; ``data`` (too large), ``object`` (looked into on its own), ``fixed`` (cannot be looked into),
            ``moving`` (moves on as it is used, and cannot be saved).
        content: the value's node, or the mark.
    """

    kind: str
    content: Any


@dataclass(slots=True)
class Seen:
    """All that was found.

    Attributes:
        holders: by place.
        slots: by place of the holder and name of the entry.
        generators: random generators by place.
        cut: whether there was more than could be looked at.
    """

    holders: dict[str, Holder] = field(default_factory=dict)
    slots: dict[str, dict[str, Slot]] = field(default_factory=dict)
    generators: dict[str, Any] = field(default_factory=dict)
    cut: bool = False

    def home(self, place: str) -> tuple[Holder, str] | None:
        """Return the holder of a place, and the name of the entry there."""
        found = ((holder, holder.key_of(place)) for holder in self.holders.values())
        return next(((holder, key) for holder, key in found if key is not None), None)


def look(roots: Mapping[str, Any], leave: Leave | None = None) -> Seen:
    """Return what can be reached from some objects.

    Args:
        roots: the objects by name.
        leave: tells of a holder and the name of an entry whether it is left alone: it is saved elsewhere.
    """
    numpy = sys.modules.get("numpy")
    shared = [random._inst, *([numpy.random.mtrand._rand] if numpy else [])]
    if (torch := sys.modules.get("torch")) is not None:
        shared.append(torch.default_generator)
    known: set[Any] = {id(item) for item in shared}
    seen, waiting = Seen(), deque((place, item, 0) for place, item in roots.items())
    while waiting:
        place, item, depth = waiting.popleft()
        if item is None or id(item) in known:
            continue
        if len(known) >= _MOST_OBJECTS:
            seen.cut = True
            break
        known.add(id(item))
        if kind_of(item) is not None:
            seen.generators[place] = item
            continue
        for holder in _holders(place, item, known):
            inner = _note(seen, holder, leave)
            waiting += [(name, value, depth + 1) for name, value in inner if depth < _DEEPEST]
    return seen


def _note(seen: Seen, holder: Holder, leave: Leave | None) -> Iterator[tuple[str, Any]]:
    """Note the entries of a holder; yields those that are looked into on their own."""
    seen.holders.setdefault(holder.place, holder)
    slots = seen.slots.setdefault(holder.place, {})
    speaks = _speaks(holder.owner)
    for key, value in holder.entries.items():
        if leave is not None and leave(holder, key):
            continue
        slot = _slot(value)
        opened = slot is None or (slot.kind == "object" and not (speaks and _of_one_package(holder.owner, value)))
        if opened:
            yield holder.name(key), value
        if slot is not None and not (speaks and (slot.kind != "object" or not opened)):
            slots[key] = slot


def _speaks(owner: Any) -> bool:
    """Return whether an object's state is what its ``state_dict`` says: not that of modules, nor an empty default."""
    word = getattr(type(owner), "state_dict", None)
    default = getattr(word, "__module__", "").partition(".")[0] in ("lightning", "pytorch_lightning")
    return takes_state(owner) and not _is_module(owner) and not default


def _of_one_package(owner: Any, value: Any) -> bool:
    return type(owner).__module__.partition(".")[0] == type(value).__module__.partition(".")[0] in _FOREIGN


def _slot(value: Any) -> Slot | None:
    """Judge one entry; None for a generator, which is saved as such."""
    if kind_of(value) is not None:
        return None
    try:
        return Slot("value", values.encode(value))
    except values.TooLargeError:
        return Slot("data", fingerprints.of_data(value))
    except values.NotPlainError:
        pass
    if fingerprints.moves(value):
        return Slot("moving", fingerprints.moves(value))
    if fingerprints.is_array(value):
        return Slot("data", fingerprints.of_data(value))
    if type(value) in _CONTAINERS:
        return Slot("object", (type(value).__name__, len(value)))
    if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
        return Slot("object", (type(value).__name__, getattr(value, "__qualname__", ""), id(value)))
    if _opens(value):
        return Slot("object", type(value).__qualname__)
    return Slot("fixed", fingerprints.of_object(value))


def _opens(item: Any) -> bool:
    """Return whether an object is of a kind that is looked into."""
    module = type(item).__module__
    if isinstance(item, (type, types.ModuleType)) or _shared_memory(item):
        return not isinstance(item, (type, types.ModuleType))
    if module.partition(".")[0] in _OPAQUE and not module.startswith(_CLEAR):
        return False
    return isinstance(getattr(item, "__dict__", None), dict) or bool(_slots_of(type(item)))


def _shared_memory(item: Any) -> bool:
    return type(item).__module__ == "multiprocessing.sharedctypes" and hasattr(item, "get_obj")


def _holders(place: str, item: Any, known: set[Any]) -> Iterator[Holder]:
    if type(item) in _CONTAINERS:
        yield from _container(place, item)
    elif isinstance(item, types.MethodType):
        yield from _holders(place, item.__func__, known)
        if id(item.__self__) not in known:
            known.add(id(item.__self__))
            yield from _holders(f"{place}.__self__", item.__self__, known)
    elif isinstance(item, functools.partial):
        parts = {"func": item.func, "args": item.args, "keywords": item.keywords}
        yield Holder(place, item, parts, _refuse)
    elif isinstance(item, types.FunctionType):
        yield from _function(place, item)
        yield from _globals(place, [item], known)
    elif _shared_memory(item):
        whole = "value" if hasattr(item, "value") and not hasattr(item, "__len__") else None
        now = {"value": item.value if whole else list(item[:])}
        yield Holder(place, item, now, functools.partial(_put_shared, item, whole))
    elif _opens(item):
        yield from _object(place, item)
        yield from _class(place, type(item), known)
        yield from _globals(place, list(_methods(type(item))), known)


def _object(place: str, item: Any) -> Iterator[Holder]:
    own = getattr(item, "__dict__", None)
    slots = {name: value for name in _slots_of(type(item)) if (value := getattr(item, name, _NOTHING)) is not _NOTHING}
    if slots:
        yield Holder(f"{place}<slots>", item, slots, functools.partial(object.__setattr__, item))
    if isinstance(own, dict):
        tables = ("_parameters", "_buffers", "_modules") if _is_module(item) else ()
        entries = {name: value for name, value in own.items() if isinstance(name, str) and name not in tables}
        yield Holder(place, item, entries, own.__setitem__, own.pop)
        for table in tables:
            yield Holder(f"{place}<{table}>", item, dict(own.get(table, {})), own[table].__setitem__)


def _is_module(item: Any) -> bool:
    return any(cls.__name__ == "Module" and cls.__module__ == "torch.nn.modules.module" for cls in type(item).__mro__)


def _slots_of(kind: type) -> list[str]:
    named = [vars(cls).get("__slots__", ()) for cls in kind.__mro__ if not _is_foreign(cls)]
    return [name for names in named for name in ((names,) if isinstance(names, str) else names) if name[:2] != "__"]


def _container(place: str, item: Any) -> Iterator[Holder]:
    if isinstance(item, dict):
        first = [key for key, _ in zip(item, range(_MOST_ENTRIES), strict=False) if isinstance(key, (str, int))]
        by_text = {repr(key): key for key in first}
        entries = {text: item[key] for text, key in by_text.items()}
        put_key = functools.partial(named.put_key, item, by_text)
        yield Holder(place, item, entries, put_key, lambda text: item.pop(by_text[text]), named="[{}]")
    elif not isinstance(item, (set, frozenset)):
        entries = {str(index): value for index, value in zip(range(_MOST_ENTRIES), item, strict=False)}
        fixed = isinstance(item, tuple)
        put: Callable[[str, Any], object] = _refuse if fixed else functools.partial(named.put_index, item)
        drop = functools.partial(named.drop_index, item) if isinstance(item, list) else None
        yield Holder(place, item, entries, put, drop, named="[{}]")


def _function(place: str, item: types.FunctionType) -> Iterator[Holder]:
    cells = dict(zip(item.__code__.co_freevars, item.__closure__ or (), strict=False))
    full = {name: cell.cell_contents for name, cell in cells.items() if _is_filled(cell)}
    if full:
        yield Holder(f"{place}<closure>", item, full, lambda name, value: setattr(cells[name], "cell_contents", value))
    yield Holder(place, item, dict(vars(item)), vars(item).__setitem__, vars(item).pop)
    if item.__defaults__ and any(isinstance(value, _CONTAINERS) for value in item.__defaults__):
        entries = {str(index): value for index, value in enumerate(item.__defaults__)}
        yield Holder(f"{place}<defaults>", item, entries, _refuse, named="[{}]")


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not _NOTHING
    except ValueError:
        return False


def _class(place: str, kind: type, known: set[Any]) -> Iterator[Holder]:
    for cls in kind.__mro__:
        if _is_foreign(cls) or id(cls) in known:
            continue
        known.add(id(cls))
        entries = {
            name: value
            for name, value in vars(cls).items()
            if name[:1] != "_" and not callable(value) and not hasattr(type(value), "__get__")
        }
        if entries:
            yield Holder(f"{place}<class {cls.__name__}>", cls, entries, functools.partial(setattr, cls))


def _is_foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _FOREIGN


def _methods(kind: type) -> Iterator[types.FunctionType]:
    for cls in kind.__mro__:
        for value in () if _is_foreign(cls) else list(vars(cls).values()):
            inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
            if isinstance(inner, types.FunctionType):
                yield inner


def _globals(place: str, functions: list[types.FunctionType], known: set[Any]) -> Iterator[Holder]:
    """Yield the plain values and generators among the globals that the code of functions names.

    Objects are not looked into from here: a script's globals lead to everything that it has.
    """
    waiting = list(functions)
    tables: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    while waiting:
        function = waiting.pop()
        if ("code", id(function.__code__)) in known or str(function.__module__).partition(".")[0] in _FOREIGN:
            continue
        known.add(("code", id(function.__code__)))
        own = function.__globals__
        for name in _names(function.__code__):
            value = own.get(name, _NOTHING)
            if isinstance(value, types.FunctionType) and value.__globals__ is own:
                waiting.append(value)
            elif value is not _NOTHING and (id(own), name) not in known and _is_state(value):
                known.add((id(own), name))
                tables.setdefault(id(own), (own, {}))[1][name] = value
    for number, (own, found) in enumerate(tables.values(), start=1):
        more = f" {number}" if number > 1 else ""
        yield Holder(f"{place}<globals{more}>", own, found, own.__setitem__)


def _is_state(value: Any) -> bool:
    if value is None or kind_of(value) is not None or fingerprints.moves(value):
        return True
    try:
        values.encode(value)
    except values.NotPlainError:
        return False
    except values.TooLargeError:
        return True
    return True


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _put_shared(item: Any, whole: str | None, _: str, value: Any) -> None:
    if whole:
        item.value = value
    else:
        item[:] = value


def _refuse(key: str, value: Any) -> None:
    raise TypeError(f"{key} cannot be set")
