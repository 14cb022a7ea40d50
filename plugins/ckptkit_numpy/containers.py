"""What containers of generators are: a word for each type, the order of keys, and a new one of a type that is known."""

import copy
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from ckptkit_numpy.opening import MAX_DEPTH, parts
from ckptkit_numpy.trees import Path, place

_BUILTIN: dict[str, type] = {"dict": dict, "list": list, "tuple": tuple}
_MOST = 2000  # rows and keys, so that a manifest stays small


@dataclass(frozen=True, slots=True)
class Shape:
    """One container.

    Attributes:
        name: ``dict``, ``list``, ``tuple``, or ``module:Class``.
        keys: of a dict, in their order; None where that is the sorted one.
    """

    name: str
    keys: tuple[str, ...] | None = None


class Shapes:
    """The types of containers and the order of keys, by path; a container without a row is a plain list or sorted dict.

    Args:
        rows: what is not plain.
    """

    def __init__(self, rows: Mapping[Path, Shape]) -> None:
        self.rows = dict(rows)

    @classmethod
    def of(cls, tree: Any) -> "Shapes | None":
        """Return those of live generators, or None where they are too many to write down."""
        rows, size = {}, 0
        for path, node in _containers(tree):
            name = name_of(node)
            keys = tuple(node) if isinstance(node, dict) and list(node) != sorted(node) else None
            if name not in ("dict", "list") or keys:
                rows[path] = Shape(name, keys)
                size += 1 + len(keys or ())
                if size > _MOST:
                    return None
        return cls(rows)

    @classmethod
    def read(cls, rows: Any) -> "Shapes | None":
        """Return those of an item's metadata; None where it says nothing of them."""
        if not isinstance(rows, list):
            return None
        return cls({tuple(row["at"]): Shape(row["is"], _keys(row)) for row in rows if _is_row(row)})

    def rows_as_json(self) -> list[dict[str, Any]]:
        """Return what ``read`` reads."""
        found = []
        for path, shape in self.rows.items():
            row: dict[str, Any] = {"at": list(path), "is": shape.name}
            found.append(row if shape.keys is None else {**row, "keys": list(shape.keys)})
        return found

    def name_at(self, path: Path, saved: Any) -> str:
        """Return the type of the container that a saved tree has at a path."""
        return self.rows[path].name if path in self.rows else "list" if isinstance(saved, list) else "dict"

    def order_at(self, path: Path, keys: Any) -> list[str]:
        """Return the keys of the dict at a path in the order that they had."""
        ordered = self.rows[path].keys if path in self.rows else None
        return list(ordered) if ordered is not None and sorted(ordered) == sorted(keys) else sorted(keys)

    def ordered(self, tree: Any, path: Path = ()) -> Any:
        """Return a tree of new dicts and lists with the keys of each dict in their order."""
        if isinstance(tree, dict):
            return {key: self.ordered(tree[key], (*path, key)) for key in self.order_at(path, tree)}
        return [self.ordered(item, (*path, i)) for i, item in enumerate(tree)] if isinstance(tree, list) else tree

    def hazards(self) -> Iterator[str]:
        """Yield each container, below the outermost, that a process which builds something else there cannot make."""
        for path, shape in self.rows.items():
            if len(path) > 1 and shape.name not in _BUILTIN and _class_named(shape.name) is None:
                yield f"{place(path)}: if training put this {said(shape.name)} there, no new process can make one"


def name_of(node: Any) -> str:
    """Return the word for a container's type."""
    cls = type(node)
    return cls.__name__ if cls in _BUILTIN.values() else f"{cls.__module__}:{cls.__qualname__}"


def said(name: str) -> str:
    """Return the word for a type as a person says it."""
    return name.rpartition(":")[2]


def find(name: str, saved: Any) -> type | None:
    """Return the type of a name that can hold what was saved, or None; nothing is imported for it.

    A dataclass or named tuple must have exactly the saved fields, so that it can be filled without running its code.
    """
    cls = _BUILTIN.get(name) or _class_named(name)
    if cls is None or isinstance(saved, list):
        return cls if cls in (list, tuple) else None
    if issubclass(cls, dict):
        return cls
    return cls if _fields(cls) is not None and set(_fields(cls) or ()) == set(saved) else None


def make(cls: type, content: Mapping[Any, Any]) -> Any:
    """Return a new container of a type that ``find`` gave, by key or by place; no code of a class of its own runs."""
    if issubclass(cls, dict):
        return cls(content)
    if cls in (list, tuple):
        return cls(content.values())
    if issubclass(cls, tuple):
        names = _fields(cls)
        return tuple.__new__(cls, content.values() if names is None else [content[name] for name in names])
    new = object.__new__(cls)
    fill(new, content)
    return new


def like(container: Any, content: Mapping[Any, Any]) -> Any:
    """Return another container of the same type, with this content."""
    if isinstance(container, tuple):
        return make(type(container), content)
    new = copy.copy(container)
    fill(new, content)
    return new


def fill(container: Any, content: Mapping[Any, Any]) -> None:
    """Make this the whole content of a dict, a list or a dataclass (also of a frozen one)."""
    if isinstance(container, dict):
        container.clear()
        container.update(content)
    elif isinstance(container, list):
        container[:] = content.values()
    else:
        for name, value in content.items():
            object.__setattr__(container, name, value)


def fits(node: Any, saved: Any) -> bool:
    """Return whether a live container can hold what was saved without becoming one of another type."""
    if isinstance(saved, list):
        return isinstance(parts(node), list)
    return isinstance(node, dict) or (_fields(type(node)) is not None and set(_fields(type(node)) or ()) == set(saved))


def _fields(cls: type) -> tuple[str, ...] | None:
    if issubclass(cls, tuple):
        names = getattr(cls, "_fields", None)
        return tuple(names) if names is not None else None
    return tuple(f.name for f in fields(cls)) if is_dataclass(cls) else None


def _class_named(name: str) -> type | None:
    """Return the dataclass, named tuple or ordered dict of a name, if its module is imported already."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    if not isinstance(found, type) or name_of_class(found) != name:
        return None
    plain = is_dataclass(found) and found.__new__ is object.__new__
    named = issubclass(found, tuple) and hasattr(found, "_fields")
    return found if plain or named or found is OrderedDict else None


def name_of_class(cls: type) -> str:
    """Return the word for a class that is not built in."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _containers(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    found = parts(tree)
    if found is None or len(path) > MAX_DEPTH:
        return
    yield path, tree
    for key, item in found.items() if isinstance(found, dict) else enumerate(found):
        yield from _containers(item, (*path, key))


def _is_row(row: Any) -> bool:
    if not isinstance(row, Mapping) or not isinstance(row.get("at"), list) or not isinstance(row.get("is"), str):
        return False
    return all(type(part) in (str, int) for part in row["at"])


def _keys(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    keys = row.get("keys")
    return tuple(keys) if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else None
