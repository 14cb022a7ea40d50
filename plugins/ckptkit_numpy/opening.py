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
    if is_jax_key(tree) or (isinstance(tree, _PLAIN) and is_dataclass(owner)):
        return Slot(owner, name, tree)
    if depth > MAX_DEPTH:
        return tree
    if isinstance(tree, dict):
        return {key: opened(item, tree, key, depth + 1) for key, item in tree.items()}
    names = getattr(type(tree), "_fields", None)
    if isinstance(tree, tuple) and names is not None:
        return {key: opened(item, depth=depth + 1) for key, item in zip(names, tree, strict=True)}
    if isinstance(tree, (list, tuple)):
        held = tree if isinstance(tree, list) else None
        return [opened(item, held, index, depth + 1) for index, item in enumerate(tree)]
    if is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: opened(getattr(tree, f.name), tree, f.name, depth + 1) for f in fields(tree)}
    return tree


def is_jax_key(item: object) -> bool:
    """Return whether the object is a JAX key: typed, or an array of 2 or 4 words of 32 bits; JAX is not imported."""
    cls = type(item)
    if cls.__module__.startswith("jax.") and cls.__name__ == "PRNGKeyArray":
        return True
    array: Any = item
    is_array = cls.__module__.startswith("jaxlib") and cls.__name__ == "ArrayImpl"
    return is_array and str(array.dtype) == "uint32" and array.shape[-1:] in ((2,), (4,))
