"""Opens what people keep generators in: tuples, named tuples and dataclasses as the lists and dicts they amount to."""

from dataclasses import fields, is_dataclass
from typing import Any

from ckptkit.errors import BackendError

MAX_DEPTH = 24  # the file is read back with at most 32 levels, and a leaf has some of its own
_PLAIN = (str, int, float, bool, type(None))


class Slot:
    """The place of a value that cannot be changed in place: a JAX key, a number or text in a dataclass.

    Args:
        owner: the dict, list or dataclass that holds it; None where nothing can be put in its place.
        name: its key, index or field.
        value: what it holds.
    """

    __slots__ = ("name", "owner", "value")

    def __init__(self, owner: Any, name: Any, value: Any) -> None:
        self.owner, self.name, self.value = owner, name, value

    def put(self, value: Any) -> None:
        """Put another value there, also into a frozen dataclass. Raises BackendError where that cannot be."""
        if self.owner is None:
            raise BackendError(
                "a JAX key is a value, so a new one must take its place, and here nothing can",
                hint='keep it in a dict, a list or a dataclass: {"key": key}',
            )
        if isinstance(self.owner, (dict, list)):
            self.owner[self.name] = value
        else:
            object.__setattr__(self.owner, self.name, value)
        self.value = value


def opened(tree: Any, owner: Any = None, name: Any = None, depth: int = 0) -> Any:
    """Return a tree as dicts and lists of generators and slots; what is neither stays as it is.

    Args:
        tree: generators, in any containers.
        owner: what the tree is held by, if something else can be put in its place there.
        name: under which key, index or field.
        depth: how deep it is; too deep, it is not opened.
    """
    tree = slotted(tree, owner, name)
    found = parts(tree)
    if found is None or depth > MAX_DEPTH:
        return tree
    held = None if isinstance(tree, tuple) else tree
    if isinstance(found, dict):
        return {key: opened(item, held, key, depth + 1) for key, item in found.items()}
    return [opened(item, held, index, depth + 1) for index, item in enumerate(found)]


def slotted(item: Any, owner: Any, name: Any) -> Any:
    """Return a slot for what cannot change in place, a JAX key or a plain value in a dataclass; others as they are."""
    return Slot(owner, name, item) if is_jax_key(item) or (isinstance(item, _PLAIN) and is_dataclass(owner)) else item


def parts(tree: Any) -> dict[Any, Any] | list[Any] | None:
    """Return what a container holds, by key or field, or in a row; None for what is not a container."""
    if isinstance(tree, dict):
        return tree
    names = getattr(type(tree), "_fields", None)
    if isinstance(tree, tuple) and names is not None:
        return dict(zip(names, tree, strict=True))
    if isinstance(tree, (list, tuple)):
        return list(tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: getattr(tree, f.name) for f in fields(tree)}
    return None


def is_jax_key(item: object) -> bool:
    """Return whether the object is a JAX key: typed, or an array of 2 or 4 words of 32 bits; JAX is not imported."""
    cls = type(item)
    if cls.__module__.startswith("jax.") and cls.__name__ == "PRNGKeyArray":
        return True
    array: Any = item
    is_array = cls.__module__.startswith("jaxlib") and cls.__name__ == "ArrayImpl"
    return is_array and str(array.dtype) == "uint32" and array.shape[-1:] in ((2,), (4,))
