"""What objects of a training held, put back into those that the script has built again; no code is put back."""

import base64
import random
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_hooks import keras_held, keras_parts

_NOTHING = object()
_PLAIN = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class PutBack:
    """Values on their way back into live objects.

    Args:
        arrays: what ``Capture`` kept as arrays.

    Attributes:
        generators: the live generators whose state is still to be put back, by place.
        told: one line for each value that was not put back because the script now builds something else.
    """

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.generators: dict[str, Any] = {}
        self.told: list[str] = []
        self._arrays = arrays
        self._placed: dict[str, Any] = {}
        self._kinds: dict[str, Callable[[Mapping[str, Any], Any, str], Any]] = {
            "as-it-is": lambda saved, there, place: there,
            "same": lambda saved, there, place: self._placed.get(saved["place"], there),
            "float": lambda saved, there, place: float(saved["value"]),
            "complex": lambda saved, there, place: complex(*map(float, saved["value"])),
            "bytes": lambda saved, there, place: base64.b64decode(saved["value"]),
            "bytearray": lambda saved, there, place: bytearray(base64.b64decode(saved["value"])),
            "path": lambda saved, there, place: Path(saved["value"]),
            "numbers": lambda saved, there, place: self._list(self._arrays[saved["array"]].tolist(), there),
            "scalar": lambda saved, there, place: self._array(saved)[()],
            "array": self._into_array,
            "given": self._given,
            "unchanged": self._unchanged,
            "dict": self._dict,
            "deque": self._deque,
            "enum": self._enum,
            "generator": self._generator,
            "op": self._op,
            "tensor": self._tensor,
            "variables": self._variables,
            "object": self._object,
        } | dict.fromkeys(_PLAIN, self._sequence)

    def attributes(self, saved: Mapping[str, Any], live: Any, place: str) -> None:
        """Put attributes back into an object."""
        for name, value in saved.items():
            new = self.value(value, getattr(live, name, _NOTHING), f"{place}.{name}")
            if new is not _NOTHING:
                vars(live)[name] = new

    def value(self, saved: Any, there: Any, place: str) -> Any:
        """Return the value; if there already is an object of its kind, return that one with the value in it."""
        if isinstance(saved, list):
            saved = {"is": "list", "items": saved}
        if not isinstance(saved, dict):
            return saved
        put = self._kinds.get(saved["is"])
        if put is None:
            raise BackendError(f"{place}: is kept as {saved['is']!r}, which this version does not know")
        self._placed[place] = there  # for what refers to it from inside itself
        self._placed[place] = found = put(saved, there, place)
        return found

    def _lacks(self, place: str, why: str) -> Any:
        self.told.append(f"{place}: {why}")
        return _NOTHING

    def _array(self, saved: Mapping[str, Any]) -> Any:
        import numpy as np

        array = self._arrays[saved["array"]]
        return array.view(np.dtype(saved["dtype"])) if array.dtype.kind == "V" else array

    def _into_array(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        array = self._array(saved)
        like = (getattr(there, "dtype", None), getattr(there, "shape", None)) == (array.dtype, array.shape)
        if type(there) is type(array) and like and there.flags.writeable:
            there[...] = array
            return there
        return array

    def _given(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        if keras_held.Capture().value(there, place) != saved["value"]:
            self._lacks(place, f"the script gives {there!r:.80}, and gave something else when this was saved")
        return there

    def _unchanged(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        if type(there).__name__ != "ndarray" or keras_parts.digest_of(there) != saved["digest"]:
            self._lacks(place, "is not the array that the script had made when it was saved")
        return there

    def _list(self, items: list[Any], there: Any) -> list[Any]:
        if not isinstance(there, list):
            return items
        there[:] = items
        return there

    def _items(self, saved: Mapping[str, Any], there: Any, place: str) -> list[Any]:
        old = list(there) if isinstance(there, (list, tuple, deque)) else []
        old += [_NOTHING] * (len(saved["items"]) - len(old))
        new = [self.value(v, old[i], f"{place}[{i}]") for i, v in enumerate(saved["items"])]
        return [None if v is _NOTHING else v for v in new]

    def _sequence(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        kind, items = _PLAIN[saved["is"]], self._items(saved, there, place)
        if kind is list:
            return self._list(items, there)
        if kind is set and type(there) is set:
            there.clear()
            there.update(items)
            return there
        if isinstance(there, kind) and len(there) == len(items) and all(map(_is_same, there, items)):
            return there
        if kind is tuple and isinstance(there, tuple) and hasattr(there, "_fields"):
            return type(there)(*items)
        return kind(items)

    def _deque(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        items = self._items(saved, there, place)
        if type(there) is deque and there.maxlen == saved["most"]:
            there.clear()
            there.extend(items)
            return there
        return deque(items, saved["most"])

    def _dict(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        target: dict[Any, Any] = there if isinstance(there, dict) else {}
        old = dict(target)
        keys = [self.value(key, _NOTHING, place) for key, _ in saved["items"]]
        values = [
            self.value(value, old.get(key, _NOTHING), f"{place}[{key!r}]")
            for key, (_, value) in zip(keys, saved["items"], strict=True)
        ]
        target.clear()
        target.update({key: None if value is _NOTHING else value for key, value in zip(keys, values, strict=True)})
        return target

    def _enum(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        if there is _NOTHING or keras_parts.name_of(there) != saved["of"]:
            return self._lacks(place, f"was a {saved['of']}, which is not there")
        return type(there)[saved["value"]]

    def _generator(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        from ckptkit_numpy import live

        if live.kind_of(there) != saved["kind"] or type(live.bits_of(there) or there).__name__ != saved["bits"]:
            there = new_generator(saved)
        self.generators[place] = there
        return there

    def _op(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        import keras

        return getattr(keras.ops, saved["name"]) if saved["name"] in keras_parts.OPS else there

    def _tensor(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        import keras

        return keras.ops.convert_to_tensor(self._arrays[saved["array"]])

    def _variables(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        variables = keras_parts.variables_of(there) or []
        arrays = [self._arrays[name] for name in saved["arrays"]]
        if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
            self._lacks(place, "has other variables than when it was saved, or none yet")
            return there
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return there

    def _object(self, saved: Mapping[str, Any], there: Any, place: str) -> Any:
        if there is _NOTHING or keras_parts.name_of(there) != saved["of"]:
            self._lacks(place, f"was a {saved['of']}, which is not there")
            return there
        parts = keras_parts.parts_of(there) or {}
        for name, value in saved["parts"].items():
            new = self.value(value, parts.get(name, _NOTHING), f"{place}.{name}")
            if new is not _NOTHING and new is not parts.get(name):
                self._place_part(there, name, new, f"{place}.{name}")
        return there

    def _place_part(self, owner: Any, name: str, value: Any, place: str) -> None:
        if isinstance(owner, FunctionType) and name in (cells := keras_parts.cells_of(owner)):
            cells[name].cell_contents = value
        elif isinstance(owner, FunctionType) and name.startswith("="):
            defaults = list(owner.__defaults__ or ())
            defaults[int(name[1:])] = value
            owner.__defaults__ = tuple(defaults)
        else:
            try:
                object.__setattr__(owner, name, value)
            except (AttributeError, TypeError):
                self._lacks(place, "cannot be set")


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in (bool, int, float, str) and one == other)


def new_generator(saved: Mapping[str, Any]) -> Any:
    """Return a generator of the saved kind, for one that the script has not made yet, or no longer makes."""
    if saved["kind"] == "python-random":
        return random.Random()
    if saved["kind"] == "torch-generator":
        import torch

        return torch.Generator()
    import numpy as np

    known = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    bits = getattr(np.random, saved["bits"] if saved["bits"] in known else "PCG64")()
    return {"generator": np.random.Generator, "random-state": np.random.RandomState}.get(saved["kind"], lambda b: b)(
        bits
    )
