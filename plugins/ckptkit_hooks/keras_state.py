"""All variables of a Keras model: out to Keras's own ``.weights.h5`` and back in, whole, compared, or not at all."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError

WEIGHTS = "model.weights.h5"
_SEED = "seed_generator_state"


def build(model: Any) -> None:
    """Create the variables of the optimizer, so that all of them exist.

    Raises:
        BackendError: the model has no variables yet, or was not compiled.
    """
    if not model.built:
        raise BackendError("the model is not built: its weights do not exist", hint="begin it with keras.Input(shape)")
    if getattr(model, "optimizer", None) is None:
        raise BackendError("the model is not compiled: it has no optimizer", hint="call model.compile() first")
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def write(model: Any, folder: Path) -> dict[str, Any]:
    """Write the weights file, and return what it lacks: the state of the seed generators, and a digest of everything.

    ``.weights.h5`` holds weights and optimizer, but not the random state of Dropout and its like (Keras 3.15).
    """
    path = folder / WEIGHTS
    model.save_weights(path)
    seeds = [_array(v).tolist() for v in _variables(model) if v.name == _SEED]
    lost = len(_variables(model)) - len(seeds) - _count(path)
    return {"seeds": seeds, "digest": digest(model), "lost": max(0, lost)}


def read(model: Any, folder: Path, state: Mapping[str, Any]) -> None:
    """Put everything back.

    Raises:
        BackendError: the model is another one; it is as it was before.
    """
    build(model)
    before = [_array(v).copy() for v in _variables(model)]
    try:
        model.load_weights(folder / WEIGHTS)
        generators = [v for v in _variables(model) if v.name == _SEED]
        for variable, value in zip(generators, state["seeds"], strict=True):
            variable.assign(value)
        if not state["lost"] and digest(model) != state["digest"]:
            raise ValueError("optimizer or variables are not those that were saved")
    except Exception as error:  # Keras raises whatever its files and layers raise
        for variable, value in zip(_variables(model), before, strict=True):
            variable.assign(value)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackendError(
            f"the checkpoint does not fit the model: {reason}", hint="build and compile the model as in the training"
        ) from error


def metrics(model: Any) -> list[Any]:
    """Return the values of the metrics' variables: means of the epoch so far, of which callbacks see the end."""
    return [_array(v).tolist() for v in model.metrics_variables]


def put_metrics(model: Any, values: Sequence[Any]) -> None:
    """Put back what ``metrics`` returned; raises BackendError if the model has other metrics."""
    variables = model.metrics_variables
    if len(variables) != len(values):
        raise BackendError(
            f"the model has {len(variables)} metric variables, in the checkpoint it has {len(values)}",
            hint="compile the model with the same metrics as in the training",
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def digest(model: Any) -> str:
    """Return a digest of the values, shapes and dtypes of all variables, in their order."""
    hasher = hashlib.blake2b(digest_size=32)
    for variable in _variables(model):
        value = _array(variable)
        hasher.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    return hasher.hexdigest()


def _variables(model: Any) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def _array(variable: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(variable)


def _count(path: Path) -> int:
    import h5py

    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, node: found.append(1) if isinstance(node, h5py.Dataset) else None)
    return len(found)
