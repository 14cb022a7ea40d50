"""Small Keras trainings, each with other kinds of state: run on, resumed from a copy of their store, or rehearsed.

``keras_cases.py cases PLACE CASE...`` prints one JSON line for each case. The store is copied while a run trains, the
run goes on to its end, and another process resumes from the copy. TensorFlow is imported once: every run is a fork of
that process, which has not used it yet. ``keras_cases.py once PLACE CASE`` is a training script as any other.
"""

import itertools
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

import keras
import numpy as np
import tensorflow as tf

from ckptkit import Schedule

RUN = "case/run1"
STEPS = 5  # of an epoch


@dataclass(frozen=True)
class Case:
    """One training: what is compiled, called back and fed; after which step its store is copied."""

    model: Callable[[], Any]
    callbacks: Callable[[Path], Sequence[Any]] = lambda place: []
    data: str = "iterator"
    epochs: int = 4
    copy_at: int = 14
    every_steps: int = 4
    fit: dict[str, Any] = field(default_factory=dict)
    seeded: bool = True


def rows(kind: str = "") -> Any:
    x = np.random.default_rng(1).normal(size=(40, 4)).astype("float32")
    y = (x.sum(1, keepdims=True) > 0).astype("float32")
    return (x, {"a": y, "b": 2 * y}, np.linspace(0.5, 1.5, 40, dtype="float32")) if kind == "two" else (x, y)


def dataset(kind: str = "") -> Any:
    return tf.data.Dataset.from_tensor_slices(rows(kind)).shuffle(40, seed=2).repeat().batch(4)


def sequential(*more: Any, optimizer: Callable[[], Any] = lambda: "adam", **named: Any) -> Callable[[], Any]:
    def build() -> Any:
        k = keras.layers
        net = [keras.Input((4,)), k.Dense(8, "tanh"), *(m() for m in more), k.Dropout(0.2), k.Dense(1, "sigmoid")]
        model = keras.Sequential(net)
        model.compile(optimizer(), "mse", jit_compile=False, **named)
        return model

    return build


class Smoothed(keras.metrics.Metric):
    """A metric whose state depends on the order of the batches."""

    def __init__(self) -> None:
        super().__init__(name="smoothed")
        self.kept = self.add_weight(name="kept", shape=(), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.kept.assign(0.9 * self.kept + keras.ops.mean(y_pred))

    def result(self) -> Any:
        return self.kept


def two_outputs() -> Any:
    x = keras.Input((4,))
    hidden = keras.layers.Dropout(0.2)(keras.layers.Dense(8, "tanh")(x))
    outputs = {name: keras.layers.Dense(1, "sigmoid", name=name)(hidden) for name in ("a", "b")}
    model = keras.Model(x, outputs)
    model.compile(
        "adam",
        {"a": "binary_crossentropy", "b": "mse"},
        loss_weights={"a": 1.0, "b": 0.5},
        metrics={"a": ["accuracy", "AUC"], "b": ["mae", Smoothed()]},
        weighted_metrics={"a": ["mse"]},
        jit_compile=False,
    )
    return model


class Subclassed(keras.Model):
    """Built by its first batch; trains and measures by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.Dense(8, "tanh")
        self.dropout = keras.layers.Dropout(0.2)
        self.outer = keras.layers.Dense(1)
        self.own = keras.metrics.Mean(name="own")

    def call(self, x: Any, training: bool = False) -> Any:
        noise = keras.random.normal(keras.ops.shape(x), stddev=0.01)
        return self.outer(self.dropout(self.inner(x + noise), training=training))

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.own.update_state(loss)
        return {"own": self.own.result()}

    @property
    def metrics(self) -> list[Any]:
        return [self.own]


def subclassed() -> Any:
    model = Subclassed()
    model.compile("adam", jit_compile=False)
    return model


class Hidden(keras.layers.Layer):
    """Holds state where Keras does not look for it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0.0)

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x + 0.01 * self.calls + tf.random.normal(tf.shape(x), stddev=0.01)


class Annealed(keras.layers.Layer):
    """Counts in an attribute, which shows where it runs eagerly."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.scales = [1.0]

    def call(self, x: Any) -> Any:
        self.count += 1
        self.scales.append(1 / self.count)
        return x * self.scales[-1]


class Decay:
    """A schedule that counts for itself."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, epoch: int, rate: float) -> float:
        self.calls += 1
        return 0.01 / (1 + self.calls)


class Mine(keras.callbacks.Callback):
    """A callback of the user's own, which sets the learning rate by what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.losses: list[float] = []
        self.array = np.zeros(3)
        self.best = float("inf")
        self.rng = np.random.default_rng()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1
        loss = next(iter(logs.values()))
        self.losses.append(loss)
        self.array = 0.5 * self.array + self.count
        self.best = min(self.best, loss)
        rate = 0.001 * (1 + self.count % 7 + self.rng.random() + 0.01 * self.array.sum())
        self.model.optimizer.learning_rate = rate * (1 + np.mean(self.losses) + self.best)


class Odd(keras.callbacks.Callback):
    """Holds what no one can capture."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = itertools.count()
        self.lock = threading.Lock()  # no state
        self.batches = (n for n in range(1000))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.001 * (1 + next(self.counter))


def by_closure(place: Path) -> list[Any]:
    count, rates = 0, [0.01]

    def next_rate(epoch: int, rate: float) -> float:
        nonlocal count
        count += 1
        rates.append(rates[-1] * 0.9)
        return float(rates[-1] / count)

    slower = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(rates[-1] * 0.8))
    return [keras.callbacks.LearningRateScheduler(next_rate), slower]


MODULE_COUNTER = [0]


def by_global(place: Path) -> list[Any]:
    def next_rate(epoch: int, rate: float) -> float:
        MODULE_COUNTER[0] += 1
        return 0.01 / MODULE_COUNTER[0]

    return [keras.callbacks.LearningRateScheduler(next_rate)]


def deciding(place: Path) -> list[Any]:
    k = keras.callbacks
    return [
        k.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.02, cooldown=1),
        k.EarlyStopping(patience=3, min_delta=0.001, restore_best_weights=True),
        k.ModelCheckpoint(place / "best.weights.h5", save_best_only=True, save_weights_only=True),
        k.BackupAndRestore(place / "backup"),
    ]


def averaged(**named: Any) -> Callable[[], Any]:
    return lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9, **named)


_RATE = keras.callbacks.LearningRateScheduler
CASES = {
    "mae": Case(sequential(metrics=["mae"]), copy_at=14),
    "mae-at-the-end-of-an-epoch": Case(sequential(metrics=["mae"]), copy_at=16, every_steps=5),
    "two-outputs": Case(two_outputs, data="two"),
    "several-steps-at-once": Case(sequential(metrics=["mae"], steps_per_execution=2), copy_at=9),
    "subclassed": Case(subclassed, lambda place: [Mine()], seeded=False),
    "deciding": Case(
        sequential(keras.layers.BatchNormalization),
        deciding,
        epochs=8,
        copy_at=18,
        fit={"validation_data": rows()},
    ),
    "arrays": Case(
        sequential(),
        lambda place: [keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.02)],
        data="arrays",
        epochs=8,
        copy_at=27,
    ),
    "average-at-the-end": Case(sequential(optimizer=averaged())),
    "average-now-and-then": Case(sequential(optimizer=averaged(ema_overwrite_frequency=3))),
    "average-swapped": Case(
        sequential(optimizer=averaged()), lambda place: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]
    ),
    "schedule-object": Case(sequential(), lambda place: [_RATE(Decay())]),
    "schedule-of-the-rate-before": Case(sequential(), lambda place: [_RATE(lambda epoch, rate: rate * 0.5)]),
    "schedule-closure": Case(sequential(), by_closure),
    "unseeded": Case(sequential(), lambda place: [Mine()], seeded=False),
    "hidden": Case(sequential(Hidden), lambda place: [Odd()]),
    "eager": Case(sequential(Annealed, metrics=["mae"], run_eagerly=True), epochs=2, copy_at=6),
    "odd": Case(sequential(), lambda place: [Odd()]),
    "global": Case(sequential(), by_global, every_steps=8),
    "some-of-the-rows": Case(sequential(), data="arrays", fit={"steps_per_epoch": 3, "batch_size": 8}, copy_at=4),
}


def digest(values: Sequence[Any]) -> str:
    import hashlib

    hasher = hashlib.sha256()
    for value in values:
        hasher.update(keras.ops.convert_to_numpy(value).tobytes())
    return hasher.hexdigest()[:12]


class Tell(keras.callbacks.Callback):
    """Notes a digest after each step, and copies the run's folder when it is told to."""

    def __init__(self, place: Path, copy_at: int) -> None:
        super().__init__()
        self.place = place
        self.copy_at = copy_at
        self.trace: list[str] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.trace.append(digest([*self.model.variables, *self.model.optimizer.variables]))
        if len(self.trace) == self.copy_at:
            shutil.copytree(self.place, self.place.with_name("copy"))


def train(case: Case, place: Path, *, copy_at: int = -1, hook: str = "yes", **named: Any) -> dict[str, Any]:
    """Train without a hook, with one that saves as the case says, or with one that saves at each step."""
    from ckptkit_hooks.keras_ import CheckpointCallback
    from ckptkit_tfdata import PersistentIterator

    if case.seeded:
        keras.utils.set_random_seed(0)
    model = case.model()
    place.mkdir(parents=True, exist_ok=True)
    tell, callbacks = Tell(place, copy_at), list(case.callbacks(place))
    fit = {"epochs": case.epochs, "callbacks": [tell, *callbacks], "verbose": 0, "shuffle": case.data == "arrays"}
    fit |= case.fit
    if case.data == "arrays":
        data: tuple[Any, ...] = rows()
        fit = {"batch_size": 8, **fit}
    else:
        fit["steps_per_epoch"] = STEPS
        data = (dataset(case.data),) if hook == "no" else (PersistentIterator(lambda: dataset(case.data)),)
    if hook == "no":
        history = model.fit(*data, **fit)
    else:
        every = None if case.data == "arrays" else 1 if hook == "each" else case.every_steps
        saver = CheckpointCallback(place / "store", RUN, schedule=Schedule(every_steps=every, every_epochs=1), **named)
        history = saver.fit(model, *data, **fit)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    end = {"weights": digest(model.variables), "optimizer": digest(model.optimizer.variables), "rate": rate}
    logs = {name: values[-1] for name, values in history.history.items()}
    return {"end": {**end, "logs": logs}, "trace": tell.trace}


def in_a_fork(work: Callable[[], Any]) -> Any:
    """Return what the work returned in a forked process, or the error that it ended with."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.close(reading)
        with os.fdopen(writing, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if text else {"error": f"ended with {code}"}


def tell(name: str, place: Path) -> dict[str, Any]:
    """Return how the case ended without a break and resumed, and what the checkpoint said that it resumed from."""
    case = CASES[name]
    straight = in_a_fork(lambda: train(case, place / "run", copy_at=case.copy_at))
    captured = in_a_fork(lambda: captured_in(place / "copy" / "store"))
    resumed = in_a_fork(lambda: train(case, place / "copy"))
    return {"case": name, "straight": straight, "resumed": resumed, **captured}


def captured_in(store: Path) -> dict[str, Any]:
    from ckptkit import CheckpointStore

    manifest = CheckpointStore(store).choose(RUN).manifest
    items = manifest.items.values()
    return {"grade": manifest.grade, "step": manifest.step, "reasons": [r for i in items for r in i.captured.reasons]}


def with_and_without(name: str, place: Path) -> dict[str, Any]:
    """Return the traces of a run without a hook, and of one that saves at each step."""
    return {how: in_a_fork(lambda how=how: train(CASES[name], place / how, hook=how)) for how in ("no", "each")}


def once(name: str, place: Path) -> None:
    """Train as a script that says how it is resumed."""
    command = [sys.executable, __file__, "once", str(place), name]
    train(CASES[name], place, resume=command, prove="first")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    what, where, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    for each in names or CASES:
        if what == "once":
            once(each, where)
        else:
            work = tell if what == "cases" else with_and_without
            print(json.dumps(work(each, where / each)), flush=True)
