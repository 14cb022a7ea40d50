"""Live Python state as JSON plus arrays: what can be said without code, shared objects kept shared.

Plain values stay as they are; everything else is a dict with ``"@"`` naming its kind. An object is never built from a
file: its attributes are put back into the object of the same class that stands in the same place. What cannot be said
is marked ``static`` (the fresh one is kept) and, unless it is code, listed in ``Encoder.left_out``.
"""

import enum
import functools
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ckptkit_sb3 import generators, no_state, standard
from ckptkit_sb3.names import SCALARS, class_name, is_kind, is_scalar
from ckptkit_sb3.objects import is_plain_object

INLINE_BYTES = 512
STATIC: dict[str, Any] = {"@": "static"}
_CODE = (
    type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.MethodType, property, functools.partial
)  # fmt: skip
_MUTABLE = (list, dict, set, deque)
_NESTED = frozenset({list, dict})
_DATA = (
    *("numpy.ndarray", "numpy.generic", "numpy.random._generator.Generator", "numpy.random.mtrand.RandomState"),
    *("random.Random", "torch._C.Generator"),
)
_MAX_NODES = 200_000
_MANY = 256
_FINGERS = 12
"""How many left-out values are named; the rest adds nothing to the reason."""


class Encoder:
    """Turns values into nodes; arrays above 512 bytes go into ``arrays`` under ``prefix`` + number.

    Args:
        arrays: where large arrays are put, by member name.
        prefix: start of the member names.
        shared: data pointers of torch tensors that are saved elsewhere (parameters): they are marked static.
        skip: attribute names that are left alone in the objects given to ``attributes``.
        known: objects by ``id`` that are saved elsewhere (the algorithm, its environments): they are marked static.
        functions: say what functions and methods hold on to (variables of a closure), not only that they are code.
        special: says a value in its own way, before all others; returns None for values that it does not know.

    Attributes:
        left_out: what could not be said.
        scalars: every plain value by where it stands.
    """

    def __init__(
        self,
        arrays: dict[str, Any],
        prefix: str,
        *,
        shared: frozenset[int] = frozenset(),
        skip: frozenset[str] = frozenset(),
        known: Mapping[int, object] | None = None,
        functions: bool = False,
        special: "Callable[[Encoder, Any, str], Any] | None" = None,
    ) -> None:
        self.left_out: list[str] = []
        self.scalars: dict[str, Any] = {}
        self._arrays = arrays
        self._prefix = prefix
        self._shared = shared
        self._skip = skip
        self._known = known or {}
        self._functions = functions
        self._special = special
        self._seen: dict[int, tuple[int, object]] = {}
        self._nodes = 0

    def encode(self, value: Any, where: str = "$") -> Any:
        """Return the node of a value."""
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            self._leave_out(f"{where}: more than {_MAX_NODES} values")
            return STATIC
        if is_scalar(value):
            self.scalars[where] = value
            return value
        if type(value) in (tuple, bytes):
            return self._immutable(value, where)
        if id(value) in self._known or no_state.is_output(value):
            return dict(STATIC)
        if isinstance(value, _CODE):
            return self._code(value, where)
        if id(value) in self._seen:
            return {"@": "ref", "id": self._seen[id(value)][0]}
        number = len(self._seen)
        self._seen[id(value)] = (number, value)  # keeps the value alive, so that its id stays its own
        node = self._special(self, value, where) if self._special is not None else None
        node = node or standard.encode(self, value, where) or self._shared_value(value, where)
        if node is None:
            self._leave_out(f"{where} ({class_name(value)})")
            return STATIC
        return {**node, "id": number}

    def items(self, values: Iterable[Any], where: str) -> list[Any]:
        """Return the nodes of the items of a container."""
        return [self.encode(value, f"{where}[{i}]") for i, value in enumerate(values)]

    def pairs(self, value: Mapping[Any, Any], where: str) -> list[list[Any]]:
        """Return the nodes of the keys and values of a dict."""
        return [[self.encode(k, f"{where} key"), self.encode(v, f"{where}[{k!r:.40}]")] for k, v in value.items()]

    def attributes(self, value: object, where: str) -> dict[str, Any]:
        """Return the nodes of an object's ``__dict__`` by name, without the skipped and those that are no state."""
        return self._attributes(value, where, self._skip)

    def _attributes(self, value: object, where: str, skip: frozenset[str]) -> dict[str, Any]:
        skip |= no_state.names_of(value)
        nodes = {}
        for name in sorted(k for k in vars(value) if k not in skip):  # the order in which they will be decoded
            before = len(self.left_out)
            nodes[name] = self.encode(vars(value)[name], f"{where}.{name}")
            if no_state.is_optional(value, name) and len(self.left_out) > before:
                del self.left_out[before:]
                nodes[name] = dict(STATIC)
        return nodes

    def _leave_out(self, text: str) -> None:
        if len(self.left_out) < _FINGERS:
            self.left_out.append(text)

    def _immutable(self, value: Any, where: str) -> Any:
        if type(value) is bytes:
            return {"@": "bytes", "hex": value.hex()}
        return {"@": "tuple", "items": self.items(value, where)}

    def _code(self, value: Any, where: str) -> Any:
        if isinstance(value, functools.partial):
            return self._code(value.func, where) and dict(STATIC)
        if self._functions:
            return self._function(value, where)
        for held in cells_of(value):
            if isinstance(held, _MUTABLE):
                self._leave_out(f"{where} (a closure over a {type(held).__name__})")
        return dict(STATIC)

    def _function(self, value: Any, where: str) -> Any:
        """Return the name of some code, and the values that it holds on to; never the code."""
        name = code_name(value)
        if isinstance(value, types.MethodType):
            return {"@": "method", "name": name, "self": self.encode(value.__self__, where)}
        if not isinstance(value, types.FunctionType):
            return {**STATIC, "name": name}
        if any(isinstance(held, _MUTABLE) and held for held in value.__defaults__ or ()):
            self._leave_out(f"{where} (a function with a default value that changes)")
        variables = zip(value.__code__.co_freevars, cells_of(value), strict=True)
        held = [self.encode(v, f"{where} {n}") if _is_data(v) else dict(STATIC) for n, v in variables]
        own = {k: self.encode(v, f"{where}.{k}") for k, v in sorted(vars(value).items()) if _is_data(v)}
        return {"@": "function", "name": name, "cells": held, "own": own}

    def _shared_value(self, value: Any, where: str) -> dict[str, Any] | None:
        kind = type(value)
        if kind in (list, deque, set, frozenset) or isinstance(value, dict):
            return self._container(value, where)
        if isinstance(value, enum.Enum):
            return {"@": "enum", "class": class_name(value), "name": value.name}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return {"@": "namedtuple", "class": class_name(value), "items": self.items(value, where)}
        if is_kind(value, "numpy.ndarray", "numpy.generic"):
            return self.array(value)
        generator = generators.encode(self, value)
        if generator is not None:
            return generator
        if is_kind(value, "torch.Tensor"):
            return self._tensor(value)
        if is_kind(value, "torch.nn.modules.module.Module"):
            own = {t.data_ptr() for t in value.state_dict().values() if hasattr(t, "data_ptr")}
            return dict(STATIC) if own <= self._shared else None
        if is_kind(value, "gymnasium.spaces.space.Space"):
            return {"@": "space", "generators": [self.encode(g, where) for g in space_generators(value)]}
        if is_plain_object(value):
            attributes = self._attributes(value, where, frozenset())
            return {"@": "object", "class": class_name(value), "attributes": attributes}
        return None

    def _container(self, value: Any, where: str) -> dict[str, Any] | None:
        if isinstance(value, dict):
            if type(value) is not dict and class_name(value) != "collections.OrderedDict":
                return None
            return {"@": "dict", "ordered": type(value) is not dict, "items": self.pairs(value, where)}
        numbers = self._numbers(value) if type(value) is list and len(value) >= _MANY else None
        if numbers is not None:
            return {"@": "numbers", "array": numbers}
        order = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        node: dict[str, Any] = {"@": type(value).__name__}
        if isinstance(value, deque):
            node["maxlen"] = value.maxlen
        return {**node, "items": self.items(order, where)}

    def _numbers(self, value: list[Any]) -> dict[str, Any] | None:
        """Return a long list of numbers (rewards of all episodes) as an array: as nodes it would cost too much."""
        import numpy as np

        kinds = set(map(type, value))
        if kinds == {float}:
            return self.array(np.array(value, np.float64))
        if kinds == {int} and all(-(2**63) <= number < 2**63 for number in value):
            return self.array(np.array(value, np.int64))
        return None

    def array(self, value: Any) -> dict[str, Any] | None:
        """Return the node of an array or scalar of NumPy; None for dtypes that are not plain numbers or text."""
        import numpy as np

        array = np.asarray(value)
        if array.dtype.kind not in "biufcSU" or array.dtype.names is not None:
            return None
        node = {"@": "array" if isinstance(value, np.ndarray) else "scalar", "dtype": array.dtype.str}
        node["shape"] = list(array.shape)
        if array.nbytes <= INLINE_BYTES:
            return {**node, "hex": array.tobytes().hex()}
        member = f"{self._prefix}{len(self._arrays)}"
        self._arrays[member] = np.array(array)
        return {**node, "member": member}

    def _tensor(self, value: Any) -> dict[str, Any] | None:
        if value.data_ptr() in self._shared:
            return dict(STATIC)
        if str(value.dtype) == "torch.bfloat16":
            return None
        node = self.array(value.detach().cpu().numpy())
        return None if node is None else {"@": "tensor", "array": node}


def without_static(nodes: dict[str, Any]) -> dict[str, Any]:
    """Return nodes without those that say nothing but that the target's own stays."""
    return {name: node for name, node in nodes.items() if not isinstance(node, dict) or node.get("@") != "static"}


def members_of(node: Any) -> Iterator[str]:
    """Yield the names of the large arrays of a node, in an order that depends on the node alone."""
    if isinstance(node, list) and not _NESTED.isdisjoint(map(type, node)):
        for part in node:
            yield from members_of(part)
    elif isinstance(node, dict):
        if node.get("@") in ("array", "scalar") and "member" in node:  # not an attribute of that name
            yield node["member"]
        for _, part in sorted(node.items()):
            yield from members_of(part)


def code_name(value: Any) -> str:
    """Return the full name of a function, method or class; of another value its class in brackets."""
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', None)}.{name}" if name is not None else f"<{class_name(value)}>"


def cells_of(value: Any) -> list[Any]:
    """Return what the variables of a closure hold; None for one that was never set."""
    held = []
    for cell in getattr(value, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            held.append(None)
    return held


def _is_data(value: Any) -> bool:
    """Return whether a value that a function holds on to is data or a generator: objects have other holders, too."""
    return isinstance(value, (*SCALARS, bytes, tuple, *_MUTABLE)) or is_kind(value, *_DATA)


def space_generators(space: Any) -> list[Any]:
    """Return the generators of a space and, in order, of the spaces inside it; None where one was never used."""
    found = [space.__dict__.get("_np_random")]
    inner = getattr(space, "spaces", None) or ()
    for child in inner.values() if isinstance(inner, Mapping) else inner:
        found.extend(space_generators(child))
    return found


def set_space_generators(space: Any, found: list[Any]) -> None:
    """Put generators back into a space and the spaces inside it, in the order of ``space_generators``."""
    space.__dict__["_np_random"] = found.pop(0)
    inner = getattr(space, "spaces", None) or ()
    for child in inner.values() if isinstance(inner, Mapping) else inner:
        set_space_generators(child, found)
