"""Nodes of ``encoding`` back into live state: everything is decoded and checked first, then assigned at once.

An object in a node is matched with the object of the same class that stands in the same place of the target; nothing
is imported, built by name, or called.
"""

import enum
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice, zip_longest
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3 import generators, no_state, standard
from ckptkit_sb3.encoding import cells_of, code_name, set_space_generators, space_generators
from ckptkit_sb3.names import SCALARS, class_name, is_kind
from ckptkit_sb3.objects import bare

_DTYPE_KINDS = "biufcSU"


class Decoder:
    """Decodes nodes against a target; ``apply`` performs the assignments that were collected meanwhile.

    Args:
        arrays: the large arrays by member name.
        skip: attribute names that are left alone in the objects given to ``attributes``.
        kinds: more kinds of nodes, and what decodes them.
        given: chooses between a plain value of the checkpoint and the one that stands in its place, from where they
            stand; with it attributes that the checkpoint lacks stay, too. Without, the checkpoint's is taken.
        classes: by full name, of which bare objects may be made where the target has none of them in a place.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        *,
        skip: frozenset[str] = frozenset(),
        kinds: "Mapping[str, Kind] | None" = None,
        given: Callable[[str, Any, Any], Any] | None = None,
        classes: Mapping[str, type] | None = None,
    ) -> None:
        self.arrays = arrays
        self._skip = skip
        self._kinds = {**_KINDS, **(kinds or {})}
        self._given = given
        self._classes = classes
        self._taken: dict[int, Any] = {}
        self._made: dict[int, Any] = {}
        self._assignments: list[Callable[[], object]] = []
        self._lost = False

    def apply(self) -> None:
        """Perform the collected assignments."""
        for assign in self._assignments:
            assign()
        self._assignments.clear()

    def later(self, assign: Callable[[], object]) -> None:
        """Collect one more assignment."""
        self._assignments.append(assign)

    def first(self, assign: Callable[[], object]) -> None:
        """Collect an assignment that comes before the others: one that may fail."""
        self._assignments.insert(0, assign)

    def decode(self, node: Any, existing: Any = None, where: str = "$") -> Any:
        """Return the value of a node; ``existing`` is what stands in its place now.

        Raises:
            DamagedError: the node is not well formed.
            BackendError: the target has another structure.
        """
        if isinstance(node, SCALARS):
            return node if self._given is None else self._given(where, node, existing)
        kind = node.get("@") if isinstance(node, dict) else None
        if kind == "static":
            return existing
        if kind == "ref":
            if node.get("id") not in self._made:
                if self._lost:
                    raise BackendError(f"{where}: refers to a value that could not be placed")
                raise DamagedError(f"{where}: refers to a value that comes later")
            return self._made[node["id"]]
        decode = self._kinds.get(str(kind))
        if decode is None:
            raise DamagedError(f"{where}: unknown kind of value {str(kind)[:40]!r}")
        try:
            return decode(self, node, existing, where)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, DamagedError):
                raise
            raise DamagedError(f"{where}: not a well-formed {kind} ({error})") from error

    def inside(self, node: Any, existing: Any, where: str) -> Any:
        """Return the value of a node inside a container, or of a new attribute: the checkpoint's, in any case."""
        given, self._given = self._given, None
        try:
            return self.decode(node, existing, where)
        finally:
            self._given = given

    def items(self, node: Any, olds: Iterable[Any], where: str) -> Iterator[Any]:
        """Yield the values of the items of a node, each decoded against the one in its place."""
        for i, (item, old) in enumerate(zip_longest(node["items"], islice(olds, len(node["items"])))):
            yield self.inside(item, old, f"{where}[{i}]")

    def fill(self, made: dict[Any, Any], node: Any, existing: Any, where: str) -> dict[Any, Any]:
        """Fill an empty dict with the pairs of a node, and return it."""
        self.remember(node, made)  # before its values, which may refer back to it
        olds = existing if isinstance(existing, dict) else {}
        for key_node, item in node["items"]:
            key = self.inside(key_node, None, where)
            made[key] = self.inside(item, olds.get(key), f"{where}[{key!r:.40}]")
        return made

    def attempt(self, node: Any, values: Mapping[str, Any], name: str, where: str, told: list[str]) -> Any:
        """Return the value of a node for an attribute; where the target has another structure, which is told, its own.

        Args:
            node: the node.
            values: the attributes of the target.
            name: which of them.
            where: where it stands, for people.
            told: takes one line if it finds no place.
        """
        count, existing = len(self._assignments), values.get(name)
        try:
            return self.decode(node, existing, where) if name in values else self.inside(node, None, where)
        except BackendError as error:
            del self._assignments[count:]
            self._lost = True
            told.append(f"{error.message}; what was saved is not put back")
            return existing

    def attributes(self, nodes: Any, target: object, where: str) -> None:
        """Collect the assignments that put nodes back into an object's ``__dict__``; names not in the nodes go."""
        self._attributes(nodes, target, where, self._skip)

    def _attributes(self, nodes: Any, target: object, where: str, skip: frozenset[str]) -> None:
        if not isinstance(nodes, dict):
            raise DamagedError(f"{where}: not a table of attributes")
        current = vars(target)
        skip |= no_state.names_of(target)
        wanted = {k: v for k, v in nodes.items() if k not in skip and (k in current or v != {"@": "static"})}
        values = {
            k: self.decode(v, current[k], f"{where}.{k}") if k in current else self.inside(v, None, f"{where}.{k}")
            for k, v in sorted(wanted.items())
        }
        gone = [] if self._given else [k for k in current if k not in nodes and k not in skip | no_state.ONCE_SKIPPED]

        def assign() -> None:
            for name in gone:
                current.pop(name, None)
            current.update(values)

        self.later(assign)

    def object(self, node: Any, existing: Any, where: str) -> Any:
        """Put the attributes of an ``object`` node into the object of the same class that stands in its place."""
        existing = self.stand_in(node, existing, where)
        self.remember(node, existing)
        self._attributes(node["attributes"], existing, where, frozenset())
        return existing

    def stand_in(self, node: Any, existing: Any, where: str) -> Any:
        """Return the object for a node: the one in its place, else a bare one of a class that the target knows.

        Raises:
            BackendError: another one is in its place, and its class is not known, or has state that is no attribute.
        """
        same = class_name(existing) == node["class"]
        if same and (self._classes is None or id(existing) not in self._taken):
            self._taken[id(existing)] = existing
            return existing
        made = bare(type(existing) if same else (self._classes or {}).get(node["class"]))
        if made is None:
            raise BackendError(f"{where}: the target holds a {class_name(existing)} instead of {node['class']}")
        return made

    def kind(self, node: Any, existing: Any, where: str) -> Any:
        """Return the class that a node names, if the target holds one of it or knows it."""
        if class_name(existing) == node["class"]:
            return type(existing)
        kind = (self._classes or {}).get(node["class"])
        if kind is None:
            raise BackendError(f"{where}: the target holds a {class_name(existing)} instead of {node['class']}")
        return kind

    def remember(self, node: Mapping[str, Any], value: Any) -> Any:
        """Note the value under the node's number, for references to it; return it."""
        if "id" in node:
            self._made[node["id"]] = value
        return value

    def array(self, node: Mapping[str, Any], where: str) -> Any:
        """Return the array of an ``array`` or ``scalar`` node; raises DamagedError when bytes and shape disagree."""
        import numpy as np

        dtype, shape = np.dtype(node["dtype"]), tuple(node["shape"])
        if dtype.kind not in _DTYPE_KINDS or dtype.names is not None:
            raise DamagedError(f"{where}: arrays of dtype {dtype} are not read")
        if "hex" in node:
            data = bytes.fromhex(node["hex"])
            if len(data) != math.prod(shape) * dtype.itemsize:
                raise DamagedError(f"{where}: {len(data)} bytes for shape {shape} of {dtype}")
            return np.frombuffer(data, dtype).reshape(shape).copy()
        found = self.arrays[node["member"]]
        if found.dtype != dtype or found.shape != shape:
            raise DamagedError(f"{where}: array {node['member']} has another shape or dtype than noted")
        return found.copy()


def _container(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    made: Any = deque(maxlen=node["maxlen"]) if node["@"] == "deque" else []
    decoder.remember(node, made)  # before its items, which may refer back to it
    made.extend(decoder.items(node, existing if isinstance(existing, (list, tuple, deque)) else (), where))
    return made


def _numbers(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    return decoder.remember(node, decoder.array(node["array"], where).tolist())


def _frozen(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    items = list(decoder.items(node, existing if isinstance(existing, tuple) else (), where))
    if node["@"] == "namedtuple":
        return decoder.remember(node, decoder.kind(node, existing, where)(*items))
    return decoder.remember(node, {"tuple": tuple, "set": set, "frozenset": frozenset}[node["@"]](items))


def _dict(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    return decoder.fill(OrderedDict() if node.get("ordered") else {}, node, existing, where)


def _array(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    array = decoder.array(node, where)
    return decoder.remember(node, array if node["@"] == "array" else array[()])


def _tensor(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    import torch

    tensor = torch.from_numpy(decoder.array(node["array"], where))
    if is_kind(existing, "torch.Tensor"):
        tensor = tensor.to(existing.device)
        if existing.requires_grad and existing.is_leaf and existing.shape == tensor.shape:
            decoder.later(lambda: existing.data.copy_(tensor))  # an optimizer may hold it
            return decoder.remember(node, existing)
    return decoder.remember(node, tensor)


def _function(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    """Put values into the variables of the closure that stands in the same place; its code is the target's own."""
    same_code(node, existing, where)
    cells, olds = getattr(existing, "__closure__", None) or (), cells_of(existing)
    if len(cells) != len(node["cells"]):
        raise BackendError(f"{where}: {node['name']} captures other variables than in the checkpoint")
    for cell, old, held, name in zip(cells, olds, node["cells"], existing.__code__.co_freevars, strict=True):
        if held != {"@": "static"}:
            decoder.later(partial(setattr, cell, "cell_contents", decoder.decode(held, old, f"{where} {name}")))
    own = {k: decoder.decode(v, vars(existing).get(k), f"{where}.{k}") for k, v in sorted(node["own"].items())}
    decoder.later(lambda: vars(existing).update(own))
    return existing


def _method(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    same_code(node, existing, where)
    decoder.decode(node["self"], existing.__self__, where)
    return existing


def same_code(node: Any, existing: Any, where: str) -> None:
    """Raise BackendError unless the function that stands in the place of a saved one has its name."""
    if code_name(existing) != node["name"]:
        raise BackendError(f"{where}: the target holds {code_name(existing)} instead of {node['name']}")


def _enum(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    kind = decoder.kind(node, existing, where)
    if not issubclass(kind, enum.Enum):
        raise DamagedError(f"{where}: {node['class']} is not an enum")
    return decoder.remember(node, kind[node["name"]])


def _space(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    if not is_kind(existing, "gymnasium.spaces.space.Space"):
        raise BackendError(f"{where}: the target holds a {class_name(existing)} instead of a space")
    found = [decoder.decode(g, None, where) for g in node["generators"]]
    if len(found) != len(space_generators(existing)):
        raise BackendError(f"{where}: the target's space has another structure")
    decoder.later(lambda: set_space_generators(existing, found))
    return decoder.remember(node, existing)


def _bytes(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    return bytes.fromhex(node["hex"])


Kind = Callable[[Decoder, Any, Any, str], Any]
"""Decodes a node: the decoder, the node, what stands in its place, and where that is."""
_KINDS: dict[str, Kind] = {
    "list": _container,
    "numbers": _numbers,
    "deque": _container,
    "tuple": _frozen,
    "namedtuple": _frozen,
    "set": _frozen,
    "frozenset": _frozen,
    "dict": _dict,
    "array": _array,
    "scalar": _array,
    "tensor": _tensor,
    "enum": _enum,
    "space": _space,
    "object": Decoder.object,
    "bytes": _bytes,
    **standard.KINDS,
    **generators.KINDS,
    "function": _function,
    "method": _method,
}
