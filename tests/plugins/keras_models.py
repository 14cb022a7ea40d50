"""Keras models with all sorts of state, for what is written of them; run as a program, it compares on any backend.

``keras_models.py PLACE``: for each model, whether a weights file from copies is the one that Keras writes; and whether
what a SIGTERM in mid-epoch saves is of that moment.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

import keras
import numpy as np

from ckptkit.backend import SnapshotContext


class Own(keras.layers.Layer):
    """Saves arrays, numbers and nested names of its own beside its variables."""

    def __init__(self) -> None:
        super().__init__()
        self.table = np.arange(12.0).reshape(3, 4)
        self.inner = [keras.layers.Dense(3), {"deep": (keras.layers.Dense(2), keras.layers.Dense(2))}]

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.half = self.add_weight(shape=(3,), initializer="ones", dtype="bfloat16", trainable=False)
        self.count = self.add_weight(shape=(), initializer="zeros", dtype="int64", trainable=False)

    def call(self, x: Any) -> Any:
        return self.inner[1]["deep"][0](self.inner[0](x * self.scale)) + self.inner[1]["deep"][1](x)

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["table"] = self.table
        store["turned"] = self.table.T
        store["steps"] = 7
        store["flags"] = [True, False]
        store["rows/first"] = self.table[0]
        store["empty"] = np.zeros((0, 3), "int8")
        store["doubled"] = self.scale * 2


class Changes(keras.layers.Layer):
    """Saves one buffer twice, with other values."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        return x * self.kernel

    def save_own_variables(self, store: Any) -> None:
        buffer = np.ones(5)
        store["ones"] = buffer
        buffer *= 2
        store["twos"] = buffer


class Looks(keras.layers.Layer):
    """Looks into the file that it is saved to."""

    def call(self, x: Any) -> Any:
        return x

    def save_own_variables(self, store: Any) -> None:
        if "0" not in store:
            store["0"] = np.ones(3)


class Collides(keras.layers.Layer):
    """Saves what no file can hold, which shows where it is written."""

    def call(self, x: Any) -> Any:
        return x

    def save_own_variables(self, store: Any) -> None:
        store["a"] = np.ones(3)
        store["a/b"] = np.ones(3)


class OwnFile(keras.Sequential):
    """Has a way of its own to write its weights."""

    def save_weights(self, *arguments: Any, **named: Any) -> None:
        super().save_weights(*arguments, **named)


def sequential(*more: Any, optimizer: Any = "adam", kind: Any = keras.Sequential) -> Any:
    layers = keras.layers
    model = kind([keras.Input((4,)), layers.Dense(300), layers.BatchNormalization(), *more, layers.Dropout(0.2)])
    model.add(layers.Dense(1))
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=False)
    return model


def functional() -> Any:
    layers = keras.layers
    words = keras.Input((5,), dtype="int32")
    shared = layers.Embedding(50, 8)
    left = layers.LSTM(4, recurrent_dropout=0.1)(shared(words))
    right = keras.Sequential([layers.GRU(4), layers.Dense(4)], name="inner")(shared(words))
    model = keras.Model(words, layers.Dense(1)(layers.MultiHeadAttention(2, 3)(left[:, None], right[:, None])[:, 0]))
    model.compile("adamw", "mse", jit_compile=False)
    return model


def with_lora() -> Any:
    model = sequential()
    model.layers[0].enable_lora(2)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", jit_compile=False)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "plain": sequential,
    "functional": functional,
    "own": lambda: sequential(Own(), Changes()),
    "lora": with_lora,
    "scaled": lambda: sequential(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())),
    "averaged": lambda: sequential(optimizer=keras.optimizers.Adam(use_ema=True, amsgrad=True)),
}


def filled(model: Any) -> Any:
    """Build everything, and give all variables values of their own: that is sooner done than a step of training."""
    from ckptkit_hooks import keras_state

    rows = np.zeros((4, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    keras_state.build(model, (rows, np.ones((4, 1))))
    rng = np.random.default_rng(0)
    for variable in keras_state.all_variables(model):
        variable.assign(rng.integers(0, 99, variable.shape).astype(variable.dtype))
    return model


def both(model: Any, place: Path) -> tuple[bytes, bytes]:
    """Return a weights file from copies, and the one that Keras writes."""
    from ckptkit_hooks import keras_state
    from ckptkit_hooks.keras_copies import Copies
    from ckptkit_hooks.keras_recorder import recorded

    place.mkdir(parents=True)
    copies = Copies(SnapshotContext(step=1))
    recorded(model, keras_state.optimizers_of(model), copies.of).write(place / "copies.weights.h5")
    model.save_weights(place / "keras.weights.h5")
    return (place / "copies.weights.h5").read_bytes(), (place / "keras.weights.h5").read_bytes()


class Stops(keras.callbacks.Callback):
    """Sends a SIGTERM in the middle of an epoch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def stopped(store: Path) -> bool:
    """Return whether a SIGTERM in mid-epoch saves the weights of that moment."""
    from ckptkit_hooks.keras_ import CheckpointCallback

    from ckptkit import CheckpointStore

    rows, model, again = np.random.default_rng(0).normal(size=(64, 4)), sequential(), filled(sequential())
    with contextlib.suppress(SystemExit):
        hook = CheckpointCallback(store, "run", wait=False)
        hook.fit(model, rows, rows[:, :1], epochs=2, batch_size=8, verbose=0, callbacks=[Stops()])
    (listed,) = CheckpointStore(store).list()
    again.load_weights(listed.at.folder / "model" / "model.weights.h5")
    return all(map(np.array_equal, again.get_weights(), model.get_weights()))


if __name__ == "__main__":
    place, backend = Path(sys.argv[1]), keras.backend.backend()
    for name, make in MODELS.items():
        copies, usual = both(filled(make()), place / name)
        print(json.dumps([name, backend, copies == usual]), flush=True)
    print(json.dumps(["stopped", backend, stopped(place / "store")]))
