"""The other callbacks of a Keras training: what they hold is saved with the model, and put back once they began."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit_hooks import keras_parts, keras_state
from ckptkit_hooks.keras_held import Capture
from ckptkit_hooks.keras_put import PutBack

_OBSERVERS = ("History", "ProgbarLogger", "CSVLogger", "TensorBoard", "RemoteMonitor", "TerminateOnNaN")
"""Keras's own callbacks that watch and never change what is trained."""

_KERAS = ("params", "_model", "model")
"""What Keras itself sets in each callback when ``fit`` begins."""


class Others:
    """The callbacks besides the hook.

    Args:
        callbacks: as given to ``fit``: one, or a list, nested or not.
        hook: the hook itself.
    """

    def __init__(self, callbacks: Any, hook: Any) -> None:
        import keras

        given = getattr(callbacks, "callbacks", callbacks)
        self.all: list[Any] = [] if given is None else [c for c in keras.tree.flatten(given) if c is not hook]
        self._hook = hook
        self._layers: dict[str, Any] = {}
        self._given: Mapping[str, Any] = {}

    @property
    def named(self) -> dict[str, Any]:
        """The callbacks that may decide something, by class name, and what ``look_into`` found."""
        deciding = [c for c in self.all if not (_is_of_keras(c) and type(c).__name__ in _OBSERVERS)]
        return {**_by_name(deciding), **self._layers}

    def look_into(self, model: Any) -> None:
        """Treat the model and its layers like callbacks if they are of the user's own classes and run eagerly.

        Only then are their attributes read in each step. A traced step keeps those of its first batch, which a new
        process finds as the script makes them.
        """
        layers = [model, *keras_state.layers_of(model)] if model.run_eagerly else []
        self._layers = _by_name([layer for layer in layers if not _is_of_keras(layer)])

    def has(self, *names: str) -> bool:
        """Return whether one of Keras's own callbacks of these names is there."""
        return any(_is_of_keras(c) and type(c).__name__ in names for c in self.all)

    def began(self, elsewhere: Sequence[Any]) -> list[str]:
        """Look at the callbacks before the first step; return what of them cannot be captured."""
        capture, _ = self.capture(elsewhere)
        self._given = capture.seen
        return capture.reasons

    def capture(self, elsewhere: Sequence[Any]) -> tuple[Capture, dict[str, Any]]:
        """Return what the callbacks hold: the capture, with arrays and generators, and the JSON form by callback.

        Args:
            elsewhere: objects whose state is saved in other ways.
        """
        capture = self._capturing(elsewhere)
        return capture, {name: capture.attributes(_attributes(c), name) for name, c in self.named.items()}

    def digests(self, elsewhere: Sequence[Any]) -> dict[str, str]:
        """Return digests of what Keras's own callbacks decide with; others may hold times, which are never the same."""
        found = {}
        for name, callback in self.named.items():
            if _is_of_keras(callback):
                capture = self._capturing(elsewhere)
                values = capture.attributes(_attributes(callback), name)
                values = {key: value for key, value in values.items() if not str(value).startswith("{'is': 'given'")}
                content = [str(values), *map(keras_parts.digest_of, capture.arrays.values())]
                found[f"callback {name}"] = hashlib.blake2b("|".join(content).encode(), digest_size=16).hexdigest()
        return found

    def _capturing(self, elsewhere: Sequence[Any]) -> Capture:
        return Capture([*elsewhere, *self.all, self._hook], self._given)

    def put_back(self, saved: Mapping[str, Any], arrays: Mapping[str, Any]) -> PutBack:
        """Put back what they held.

        Raises:
            DamagedError: it is not in the form in which it was saved.
        """
        try:
            return self._put_back(saved, arrays)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"what callbacks hold cannot be read: {type(error).__name__}: {error}") from error

    def _put_back(self, saved: Mapping[str, Any], arrays: Mapping[str, Any]) -> PutBack:
        put, named = PutBack(arrays), self.named
        for name in saved.keys() - named.keys():
            put.told.append(f"{name}: is not among the callbacks any more")
        for name in named.keys() - saved.keys():
            put.told.append(f"{name}: was not among the callbacks, and starts over")
        for name in [name for name in named if name in saved]:
            put.attributes(saved[name], named[name], name)
        return put

    def put_back_of_old(self, saved: Mapping[str, Any]) -> None:
        """Put back what was saved before 1.1: numbers and texts of two callbacks."""
        for callback in self.all:
            # Keras flips the sign of min_delta when it begins to compare, and does so again after a resume.
            values = {k: v for k, v in saved.get(type(callback).__name__, {}).items() if k != "min_delta"}
            vars(callback).update(values)


def _by_name(things: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for thing in things:
        name = type(thing).__name__
        same = sum(type(other).__name__ == name for other in found.values())
        found[f"{name}[{same}]" if same else name] = thing
    return found


def _attributes(holder: Any) -> dict[str, Any]:
    import keras

    if not isinstance(holder, keras.Layer):
        return {name: value for name, value in vars(holder).items() if name not in _KERAS}
    usual = {*vars(keras.layers.Layer()), *vars(keras.Model())}
    return {name: value for name, value in vars(holder).items() if name not in usual and not name.startswith("_")}


def _is_of_keras(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"
