"""Pickles of joblib: the bytes of each array are in the middle, right after the object that describes it.

``joblib.load`` reads them there; for any other loader they are opcodes. Both are followed.

Source: joblib/numpy_pickle.py (``NumpyUnpickler.load_build``, ``NumpyArrayWrapper.read_array``), numpy's
``dtype.__reduce__``.
"""

import math
import re
from dataclasses import dataclass, field

from ckptkit.formats.pickle_machine import INERT, MADE, Global, Machine
from ckptkit.formats.pickle_opcodes import follow
from ckptkit.formats.pickle_stream import PickleError

WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_DTYPE = Global("numpy", "dtype")
_TEXT = re.compile(r"[<>=|]?([a-zA-Z])(\d+)")
_ALIGNMENT = "numpy_array_alignment_bytes"
_REFERENCES = 0x01  # NPY_ITEM_REFCOUNT: holds Python objects
_ITEMSIZE, _FLAGS = 5, 7  # in the state of a dtype


class ArrayUnknownError(PickleError):
    """The length of an array is unknown, so what comes after it cannot be followed."""


@dataclass(slots=True)
class _Dtype:
    """A dtype: bytes per item, None if not known."""

    item_bytes: int | None
    objects: bool = False


@dataclass(slots=True)
class _Wrapper:
    """The description of an array, and then its fields."""

    fields: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Fields:
    """The state of a wrapper while it is filled."""

    of: _Wrapper


class JoblibMachine(Machine):
    """Follows a pickle as ``joblib.load`` would: it passes over arrays, and follows pickles of objects in them."""

    def push_tuple(self, items: list[object]) -> None:
        """Push a tuple if it describes a dtype or a shape, else the placeholder."""
        top = self._stack[-1] if self._stack else None
        if top in (_DTYPE, "shape") or isinstance(top, _Dtype):
            self.push(tuple(items))
        else:
            super().push_tuple(items)

    def call(self, function: object, arguments: object) -> object:
        """Note the call, and return what is known about the result."""
        made = super().call(function, arguments)
        if function == WRAPPER:
            return _Wrapper()
        if function == _DTYPE and isinstance(arguments, tuple):
            match = _TEXT.fullmatch(arguments[0]) if isinstance(arguments[0], str) else None
            if match is None:
                return _Dtype(None)
            return _Dtype(int(match[2]) * (4 if match[1] == "U" else 1), objects=match[1] == "O")
        return made

    def new_dict(self) -> None:
        """Push a dict; that of an array's description is kept."""
        top = self._stack[-1] if self._stack else None
        self.push(_Fields(top) if isinstance(top, _Wrapper) else INERT)

    def fill(self, items: list[object]) -> None:
        """Put keys and values into the dict on top."""
        top = self.top()
        if isinstance(top, _Fields):
            pairs = zip(items[::2], items[1::2], strict=False)
            top.of.fields.update((key, value) for key, value in pairs if isinstance(key, str))

    def build(self, state: object) -> None:
        """Set the state of the object on top, and pass over the array if the object described one."""
        super().build(state)
        top = self.top()
        if isinstance(top, _Dtype) and isinstance(state, tuple) and len(state) > _ITEMSIZE:
            size = state[_ITEMSIZE]
            top.item_bytes = size if isinstance(size, int) and size > 0 else top.item_bytes
            flags = state[_FLAGS] if len(state) > _FLAGS else 0
            top.objects = top.objects or bool(isinstance(flags, int) and flags & _REFERENCES)
        elif isinstance(top, _Wrapper):
            self._pass_over(top)
            self.pop()
            self.push(MADE)

    def _pass_over(self, wrapper: _Wrapper) -> None:
        dtype, shape = wrapper.fields.get("dtype"), wrapper.fields.get("shape")
        if isinstance(dtype, _Dtype) and dtype.objects:
            follow(self.another())
            return
        known = isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape)
        if not known or not isinstance(dtype, _Dtype) or dtype.item_bytes is None:
            raise ArrayUnknownError("has a joblib array of unknown length")
        assert isinstance(shape, tuple)
        if wrapper.fields.get(_ALIGNMENT) is not None:
            self.stream.skip(self.stream.number("<B"))
        self.stream.skip(math.prod(shape) * dtype.item_bytes)

    def another(self) -> "JoblibMachine":
        """Return a machine for a pickle in this one."""
        length = self.stream.place + self.stream.left
        return JoblibMachine(self._source, length, persistent=self._persistent, found=self.found, stored=self.stored)
