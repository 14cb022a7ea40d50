"""What Keras would write into a weights file, as copies, by its own walk through a model. Importing it imports Keras.

Keras has no public way to this (3.15): ``_save_state`` walks, ``H5IOStore`` writes. Whatever a later one does otherwise
raises an error here, and then its file is written while training waits; a test compares the files byte for byte.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.saving.saving_lib import H5IOStore, _save_state, get_attr_skipset

_KINDS = ("Layer", "Functional", "Sequential", "Optimizer", "Metric", "Loss")


@dataclass(slots=True)
class _Group:
    path: str
    metadata: dict[str, Any] | None
    arrays: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A weights file that is not written yet."""

    groups: Sequence[_Group]

    @property
    def count(self) -> int:
        """How many arrays it will hold."""
        return sum(len(group.arrays) for group in self.groups)

    def write(self, path: Path) -> None:
        """Write it, as Keras does; raises OSError."""
        store = H5IOStore(path, mode="w")
        try:
            for group in self.groups:
                entry = store.make(group.path, metadata=group.metadata)
                for key, array in group.arrays.items():
                    entry[key] = _AsItIs(array)
        finally:
            store.close()


def recorded(model: Any, optimizers: Sequence[Any], copied: Callable[[Any], Any]) -> Record:
    """Return what ``model.save_weights`` would write.

    Args:
        model: built.
        optimizers: the model's, and those inside it.
        copied: returns a copy of a variable, tensor, array or number.

    Raises:
        Exception: of any class: the model or this Keras saves weights in a way of its own.
    """
    if getattr(model.save_weights, "__func__", None) is not keras.Model.save_weights:
        raise TypeError(f"{type(model).__name__} has a save_weights of its own")
    if not model.built:
        raise ValueError(f"{type(model).__name__} is not built")
    recorder = _Recorder(copied)
    with _without_copies(optimizers), _skipping():
        _save_state(model, weights_store=recorder, assets_store=None, inner_path="", visited_saveables=set())
    return Record(recorder.groups)


class _Recorder(H5IOStore):  # type: ignore[misc]  # Keras is optional: its classes are Any for mypy
    """Takes what Keras's walk puts into its store. It has no file: whatever else a layer does raises an error."""

    def __init__(self, copied: Callable[[Any], Any]) -> None:
        self.groups: list[_Group] = []
        self._copied = copied

    def __bool__(self) -> bool:
        """Return True: Keras asks whether there is a store."""
        return True

    def make(self, path: str, metadata: dict[str, Any] | None = None) -> "_Recorder":
        """Begin the group of a layer, optimizer or metric."""
        self.groups.append(_Group(path, dict(metadata) if metadata else None))
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        """Take one array."""
        arrays = self.groups[-1].arrays
        if key in arrays:
            raise KeyError(f"{key} is saved twice")
        arrays[key] = self._copied(value)
        keras.backend.standardize_dtype(arrays[key].dtype)  # raises what Keras's store would raise


@dataclass(slots=True)
class _AsItIs:
    """An array that is not copied once more where Keras asks for one."""

    array: Any

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array


@contextmanager
def _skipping() -> Iterator[None]:
    """Let Keras find what its walk skips in a layer.

    It keeps that under another name than it looks for, and so makes a new layer for each that it walks through (3.15).
    """
    places = [f"saving_attr_skiplist_{kind}" for kind in _KINDS]
    before = [global_state.get_global_attribute(place) for place in places]
    for place, kind in zip(places, _KINDS, strict=True):
        global_state.set_global_attribute(place, _skipped(kind))
    try:
        yield
    finally:
        for place, found in zip(places, before, strict=True):
            global_state.set_global_attribute(place, found)


@cache
def _skipped(kind: str) -> Any:
    return get_attr_skipset(kind)


@contextmanager
def _without_copies(optimizers: Sequence[Any]) -> Iterator[None]:
    """Let Keras's own optimizers put their variables into the store instead of copies in new memory."""
    usual = keras.optimizers.Optimizer.save_own_variables
    standing_in = [each for each in optimizers if type(each).save_own_variables is usual]
    for each in standing_in:
        vars(each)["save_own_variables"] = partial(usual, _Optimizer(each))
    try:
        yield
    finally:
        for each in standing_in:
            del vars(each)["save_own_variables"]


class _Optimizer:
    """Stands in for an optimizer whose own method puts ``variable.numpy()`` into the store."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.variables = [_Variable(each) for each in optimizer.variables]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)


class _Variable:
    def __init__(self, variable: Any) -> None:
        self._variable = variable

    def numpy(self) -> Any:
        """Return the variable: its store copies it."""
        return self._variable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)
