"""What Python objects of a training hold besides the model: values as JSON and arrays, and the names of all others."""

import base64
import math
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from ckptkit_numpy import live

from ckptkit.errors import BackendError
from ckptkit_hooks import keras_parts

AS_IT_IS = {"is": "as-it-is"}
"""Stands for what is not state, or is captured elsewhere: whatever is there at the restore stays there."""

_MAX_DEPTH = 8  # the file is read back with at most 32 levels, and a value of some kinds takes two of them
_FEW = 32  # numbers in a list; more of them are kept as an array
_LARGE = 1 << 20  # bytes
_SETTINGS = ("float", "complex", "bytes", "path", "enum", "list", "tuple", "set", "frozenset", "dict")


class Capture:
    """Values of objects on their way into a checkpoint.

    Args:
        elsewhere: objects whose state is captured elsewhere: the model, its optimizer and everything of theirs.
        given: ``seen`` of a capture before the first step. What is still the same is not state of the training but
            comes from the script: it is kept for comparison, and the script may change it. For large arrays (data for
            an evaluation, say) only the digest is kept.

    Attributes:
        arrays: what is kept as arrays, by name; the live ones, where they are arrays.
        seen: settings by place, and digests of large arrays.
        generators: the live random generators found, by place; the caller saves their state.
        kinds: the JSON forms of those.
        reasons: one line for each value that cannot be kept, with its place.
    """

    def __init__(self, elsewhere: Iterable[Any] = (), given: Mapping[str, Any] | None = None) -> None:
        self.arrays: dict[str, Any] = {}
        self.seen: dict[str, Any] = {}
        self.generators: dict[str, Any] = {}
        self.kinds: dict[str, Any] = {}
        self.reasons: list[str] = []
        self._given = given or {}
        self._elsewhere = {id(thing): thing for thing in elsewhere}
        self._met: dict[int, tuple[Any, str]] = {}
        self._streams: set[int] = set()

    def attributes(self, values: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return the JSON form of attributes, without those that are not state."""
        return self._parts(values, place, 0)

    def _parts(self, values: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
        found = {
            name: self._part(self.value(v, f"{place}.{name}", depth), f"{place}.{name}") for name, v in values.items()
        }
        return {name: value for name, value in found.items() if value != AS_IT_IS}

    def _part(self, found: Any, place: str) -> Any:
        if found == AS_IT_IS or not _is_setting(found):
            return found
        self.seen[place] = found
        same = place in self._given and self._given[place] == found and type(self._given[place]) is type(found)
        return {"is": "given", "value": found} if same else found

    def value(self, value: Any, place: str, depth: int = 0) -> Any:
        """Return the JSON form of a value, by its kind."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"is": "float", "value": repr(value)}
        if id(value) in self._elsewhere or keras_parts.is_no_state(value):
            return AS_IT_IS
        if depth > _MAX_DEPTH:
            return self._lacks(place, "is nested too deeply")
        if id(value) in self._met:
            return {"is": "same", "place": self._met[id(value)][1]}
        self._met[id(value)] = (value, place)  # held here, so that its id stays its own
        for kind in (self._plain, self._numbers, self._container, self._generator, self._framework, self._object):
            found = kind(value, place, depth)
            if found is not None:
                return found
        return self._lacks(place, f"a state of {type(value).__module__}.{type(value).__qualname__} cannot be captured")

    def _lacks(self, place: str, why: str) -> dict[str, Any]:
        self.reasons.append(f"{place}: {why.replace('builtins.', '')}")
        return AS_IT_IS

    def _keep(self, array: Any) -> str:
        name = f"value-{len(self.arrays)}"
        self.arrays[name] = array
        return name

    def _plain(self, value: Any, place: str, depth: int) -> Any:
        if type(value) is complex:
            return {"is": "complex", "value": [repr(value.real), repr(value.imag)]}
        if isinstance(value, Enum):
            return {"is": "enum", "of": keras_parts.name_of(value), "value": value.name}
        if type(value) in (bytes, bytearray):
            kind = type(value).__name__
            return {"is": kind, "value": base64.b64encode(value).decode("ascii")}
        return {"is": "path", "value": str(value)} if isinstance(value, PurePath) else None

    def _numbers(self, value: Any, place: str, depth: int) -> Any:
        import numpy

        if _is_long_list_of_numbers(value):
            return {"is": "numbers", "array": self._keep(numpy.array(value))}
        if not isinstance(value, (numpy.ndarray, numpy.generic)):
            return None
        if value.dtype.hasobject or type(value) not in (numpy.ndarray, value.dtype.type):
            return None
        if value.nbytes >= _LARGE and (not self._given or place in self._given):
            self.seen[place] = keras_parts.digest_of(value)
            if self._given.get(place) == self.seen[place]:
                return {"is": "unchanged", "digest": self.seen[place]}
        kind = "array" if isinstance(value, numpy.ndarray) else "scalar"
        return {"is": kind, "array": self._keep(numpy.asarray(value)), "dtype": value.dtype.name}

    def _container(self, value: Any, place: str, depth: int) -> Any:
        if isinstance(value, dict):
            if not all(k is None or type(k) in (bool, int, float, str) for k in value):
                return self._lacks(place, "is a dict with keys other than text and numbers")
            items = [[self.value(k, place), self.value(v, f"{place}[{k!r}]", depth + 1)] for k, v in value.items()]
            return {"is": "dict", "items": items}
        if not isinstance(value, (list, tuple, set, frozenset, deque)):
            return None
        # A set has no order; its members are put back by value, so they have to be plain.
        kind = next(k for k in (list, tuple, set, frozenset, deque) if isinstance(value, k)).__name__
        items = [self.value(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
        if kind in ("set", "frozenset") and any(isinstance(v, dict) and "value" not in v for v in items):
            return self._lacks(place, "is a set of things other than text and numbers")
        found = {"is": kind, "items": items}
        return {**found, "most": value.maxlen} if isinstance(value, deque) else found

    def _generator(self, value: Any, place: str, depth: int) -> Any:
        if live.kind_of(value) is None:
            return None
        bits = live.bits_of(value) or value
        try:
            live.capture(value)
        except BackendError as error:
            return self._lacks(place, error.message)
        if id(bits) in self._streams:
            return self._lacks(place, "draws from the bit generator of another one")
        self._streams.add(id(bits))
        self.generators[place] = value
        self.kinds[place] = {"is": "generator", "kind": live.kind_of(value), "bits": type(bits).__name__}
        return self.kinds[place]

    def _framework(self, value: Any, place: str, depth: int) -> Any:
        import keras

        name = getattr(value, "__name__", None)
        if name in keras_parts.OPS and getattr(keras.ops, name) is value:
            return {"is": "op", "name": name}
        if keras_parts.is_named(value, "tensorflow", "EagerTensor"):
            array = keras.ops.convert_to_numpy(value)
            return None if array.dtype.hasobject else {"is": "tensor", "array": self._keep(array)}
        variables = keras_parts.variables_of(value)
        if variables is None:
            return None
        return {"is": "variables", "arrays": [self._keep(keras.ops.convert_to_numpy(v)) for v in variables]}

    def _object(self, value: Any, place: str, depth: int) -> Any:
        parts = keras_parts.parts_of(value)
        if parts is None:
            return None
        held = self._parts(parts, place, depth + 1)
        return {"is": "object", "of": keras_parts.name_of(value), "parts": held} if held else AS_IT_IS


def _is_long_list_of_numbers(value: Any) -> bool:
    if type(value) is not list or len(value) <= _FEW:
        return False
    kinds = {type(v) for v in value}
    return kinds == {float} or (kinds == {int} and all(abs(v) < 2**63 for v in value))


def _is_setting(found: Any) -> bool:
    """Return whether the JSON form of a value holds only plain values: no array, generator or object."""
    if isinstance(found, list):
        return all(map(_is_setting, found))
    if not isinstance(found, dict):
        return True
    return found["is"] in _SETTINGS and _is_setting(found.get("items", []))
