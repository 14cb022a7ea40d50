"""All variables of a Keras model, written to Keras's own ``.weights.h5`` and put back: all of them, or none."""

import contextlib
import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_hooks.keras_copies import values_of

WEIGHTS = "model.weights.h5"
ARRAYS = "state.npz"
_SEED = "seed_generator_state"
_AMBIENT = "seed-of-keras-random"
_METRIC = "metric-"


def build(model: Any, batch: Any) -> None:
    """Create the variables of layers, optimizer and metrics, as Keras otherwise does while it traces the first batch.

    Args:
        model: compiled.
        batch: what describes a batch: tensors, or specs of tensors.

    Raises:
        BackendError: the model was not compiled, or its weights cannot be built from the batch.
    """
    if getattr(model, "optimizer", None) is None:
        raise BackendError("the model is not compiled: it has no optimizer", hint="call model.compile() first")
    # There is no public way to build compiled metrics without a step. What this raises depends on the layers; whether
    # all that was saved has its place now is judged when it is put back.
    with contextlib.suppress(Exception):
        model._symbolic_build(data_batch=batch)
    if not model.variables:
        raise BackendError(
            "the model is not built: its weights do not exist", hint="begin it with keras.Input(shape), or call it once"
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def complete(model: Any) -> None:
    """Let the variables have their values: with JAX, Keras keeps them elsewhere during an epoch."""
    sync = getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()


def owned(model: Any) -> list[Any]:
    """Return the model and all objects whose state is in its variables."""
    return [model, *layers_of(model), *optimizers_of(model), *model.metrics, *all_variables(model)]


def optimizers_of(model: Any) -> list[Any]:
    """Return the model's optimizer, and those inside it."""
    optimizer = model.optimizer
    inner = [getattr(optimizer, "inner_optimizer", None), *getattr(optimizer, "optimizers", ())]
    return [each for each in (optimizer, *inner) if each is not None]


def all_variables(model: Any) -> list[Any]:
    """Return all variables that are saved: those of layers, optimizer, metrics, and of ``keras.random``."""
    return [*_variables(model), *model.metrics_variables, *_ambient()]


class Variables:
    """A model's variables at a save, and what is said of them, so that ``read`` can put them back.

    ``.weights.h5`` holds weights and optimizer, but neither the random state of Dropout and similar layers nor
    variables that layers keep in other ways (Keras 3.15).

    Args:
        model: built and compiled.
        values_of: returns the values of a variable as an array.
    """

    def __init__(self, model: Any, values_of: Callable[[Any], Any]) -> None:
        self._variables, self._ambient = _variables(model), _ambient()
        self._values_of = values_of

    def beside(self, count: int) -> dict[str, Any]:
        """Return the arrays that the weights file lacks, by name.

        Args:
            count: how many arrays are in the weights file.
        """
        named = [(f"variable-{i}", self._variables[i]) for i in self._lacking(count)]
        named += [(_AMBIENT, variable) for variable in self._ambient]
        return {name: self._values_of(variable) for name, variable in named}

    def said(self, count: int) -> dict[str, Any]:
        """Return what is needed to read both."""
        dtypes: list[str] = []
        digest = _digest(map(self._values_of, self._variables), dtypes)
        return {"beside": list(self._lacking(count)), "dtypes": dtypes, "digest": digest}

    def _lacking(self, count: int) -> Sequence[int]:
        seeds = [i for i, variable in enumerate(self._variables) if variable.name == _SEED]
        # The file does not say which variables a layer of another kind left out: then all are kept beside it.
        return seeds if count == len(self._variables) - len(seeds) else range(len(self._variables))


def read(model: Any, folder: Path, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Put everything back.

    Args:
        model: built and compiled.
        folder: of the files.
        state: what ``Variables.said`` returned, in older versions too.
        arrays: those that were kept beside the weights.

    Raises:
        BackendError: it is another model, which is left as it was.
    """
    before = [_array(v).copy() for v in _variables(model)]
    try:
        model.load_weights(folder / WEIGHTS)
        for variable, value in _beside(model, state, arrays):
            variable.assign(value)
        if not state.get("lost") and digest(model) != state["digest"]:
            raise ValueError("optimizer or variables are not those that were saved")
    except Exception as error:  # Keras raises whatever its files and layers raise
        for variable, value in zip(_variables(model), before, strict=True):
            variable.assign(value)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackendError(
            f"the checkpoint does not fit the model: {reason}", hint="build and compile the model as in the training"
        ) from error


def _beside(model: Any, state: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the variables that the weights file lacks, with their values."""
    variables = _variables(model)
    if "seeds" in state:  # written before there were arrays
        yield from zip([v for v in variables if v.name == _SEED], state["seeds"], strict=True)
        return
    import numpy as np

    if len(variables) != len(state["dtypes"]):
        raise ValueError(f"it has {len(variables)} variables, {len(state['dtypes'])} were saved")
    for i in state["beside"]:
        array = arrays[f"variable-{i}"]
        yield variables[i], array.view(np.dtype(state["dtypes"][i])) if array.dtype.kind == "V" else array
    if _AMBIENT in arrays:
        yield from zip(_ambient(make=True), [arrays[_AMBIENT]], strict=True)


def keep_metrics(model: Any, arrays: dict[str, Any]) -> None:
    """Put the metrics' variables, with what they have counted in this epoch, into the arrays."""
    arrays |= {f"{_METRIC}{i}": _array(v) for i, v in enumerate(model.metrics_variables)}


def put_metrics(model: Any, arrays: Mapping[str, Any]) -> str | None:
    """Put back what ``keep_metrics`` kept; return why it does not fit, or None. Logs depend on it, weights do not."""
    variables = model.metrics_variables
    values = [arrays[name] for name in sorted(_metrics_in(arrays), key=lambda name: int(name.removeprefix(_METRIC)))]
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        return f"the model has {len(variables)} metric variables, in the checkpoint it has {len(values)} or other ones"
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return None


def _metrics_in(arrays: Mapping[str, Any]) -> list[str]:
    return [name for name in arrays if name.startswith(_METRIC)]


def parts(model: Any) -> dict[str, str]:
    """Return digests of what trains: weights, optimizer, the random generators of layers, metrics."""
    seeds = [v for v in _variables(model) if v.name == _SEED]
    weights = [v for v in model.variables if v.name != _SEED]
    found = {"model": weights, "optimizer": model.optimizer.variables, "generators": [*seeds, *_ambient()]}
    found["metrics"] = model.metrics_variables
    return {name: _digest(map(values_of, variables)) for name, variables in found.items()}


def digest(model: Any) -> str:
    """Return a digest of the values, shapes and dtypes of all variables, in their order."""
    return _digest(map(values_of, _variables(model)))


def _digest(values: Iterable[Any], dtypes: list[str] | None = None) -> str:
    import numpy as np

    hasher = hashlib.blake2b(digest_size=32)
    for value in values:
        if dtypes is not None:
            dtypes.append(value.dtype.name)
        hasher.update(f"{value.dtype}{value.shape}".encode())
        hasher.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    return hasher.hexdigest()


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _ambient(*, make: bool = False) -> list[Any]:
    """Return the state of the generator that ``keras.random`` draws from without a seed, if it ever did."""
    try:
        state = importlib.import_module("keras.src.backend.common.global_state")
        generator = state.get_global_attribute("global_seed_generator")
        if generator is None and make:
            generator = importlib.import_module("keras.src.random.seed_generator").global_seed_generator()
    except (ImportError, AttributeError):  # not public: a later Keras may have it elsewhere
        return []
    return [] if generator is None else [generator.state]


def layers_of(model: Any) -> list[Any]:
    """Return all layers of a model, nested ones too."""
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten(include_self=False)) if flatten else list(model.layers)


def _array(variable: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(variable)


def count(path: Path) -> int:
    """Return how many arrays are in a weights file."""
    import h5py

    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, node: found.append(1) if isinstance(node, h5py.Dataset) else None)
    return len(found)
