"""Keras: a callback that saves weights, optimizer, seeds and the position in the data, and goes on from them."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from ckptkit_numpy import GlobalRng

from ckptkit.backend import Captured
from ckptkit.errors import UsageError
from ckptkit.store import CheckpointStore
from ckptkit_hooks import keras_state
from ckptkit_hooks.keeper import Keeper, Mode
from ckptkit_hooks.keras_feed import Feed
from ckptkit_hooks.sigterm import StopRequest

_PROGRESS = "progress.json"
_LOOPS = {f"{kind}Trainer.fit" for kind in ("", "TensorFlow", "Torch", "JAX")}
_STATEFUL = ("EarlyStopping", "ReduceLROnPlateau")


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path,
    run: str,
    *,
    every_steps: int | None = None,
    every_epochs: int | None = None,
    keep_last_n: int | None = None,
    keep_best_n: int | None = None,
    best_metric: str | None = None,
    best_mode: Mode | None = None,
    sigterm: bool = True,
    resume: Sequence[str] | None = None,
    replace_newer: bool = False,
) -> Any:
    """Return a ``keras.callbacks.Callback`` that keeps the checkpoints of one run, and trains through it.

    ``hook.fit(model, ...)`` is ``model.fit(...)`` that first puts the newest checkpoint that verifies into the model.
    Exact are: arrays, from one end of an epoch to the next; and a ``ckptkit_tfdata.PersistentIterator``, at any batch.
    Other data is trained on all the same, and the checkpoint's grade says what cannot be put back.

    Args:
        store: the store, or its path.
        run: name of the run.
        every_steps: save each time this many batches were trained; only with a ``PersistentIterator``.
        every_epochs: save at the end of every so many epochs; 1 if neither is given.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best by ``best_metric`` besides.
        best_metric: a name of the epoch's logs, for example ``val_loss``.
        best_mode: whether the best is the ``min`` or the ``max``.
        sigterm: whether SIGTERM saves first, after the batch that it falls into.
        resume: argument list for ``ckptkit resume-cmd``.
        replace_newer: move checkpoints beyond the step that training goes on from to the trash; else training does not
            begin while there are such.

    Returns:
        The callback, with the method ``fit(model, x, *args, epochs, ref=None, **fit)``.

    Raises:
        UsageError: an interval or a count below 1, or a metric without mode.
    """
    for interval in (every_steps, every_epochs):
        if interval is not None and interval < 1:
            raise UsageError(f"an interval of {interval} between checkpoints", hint="give 1 or more, or leave it out")
    keeper = Keeper(
        store,
        run,
        keep_last_n=keep_last_n,
        keep_best_n=keep_best_n,
        best_metric=best_metric,
        best_mode=best_mode,
        resume=resume,
        replace_newer=replace_newer,
    )
    if every_steps is None and every_epochs is None:
        every_epochs = 1
    return _callback_class()(keeper, StopRequest(_LOOPS, enabled=sigterm), every_steps, every_epochs)


_CLASSES: list[Any] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # noqa: C901  # a class in a function: Keras may not be imported at module level
    from keras.callbacks import Callback

    class CheckpointCallback(Callback):  # type: ignore[misc]  # Keras is optional: its classes are Any for mypy
        """Saves after batches and epochs."""

        def __init__(
            self, keeper: Keeper, stop: StopRequest, every_steps: int | None, every_epochs: int | None
        ) -> None:
            super().__init__()
            self._keeper = keeper
            self._stop = stop
            self._every_steps = every_steps
            self._every_epochs = every_epochs
            self._feed: Feed | None = None
            self._order: str | None = None
            self._others: list[Any] = []
            self._restored: dict[str, dict[str, Any]] = {}
            self._metrics: list[Any] = []
            self._steps = self._batches = self._done = self._offset = 0

        def fit(
            self,
            model: Any,
            x: Any,
            *args: Any,
            epochs: int = 1,
            callbacks: Any = None,
            ref: str | None = None,
            **fit: Any,
        ) -> Any:
            """Train as ``model.fit`` does, from the newest checkpoint that verifies, until ``epochs`` are complete.

            Args:
                model: built and compiled as in the training that is resumed.
                x: data; a ``PersistentIterator`` needs ``steps_per_epoch``.
                args: more arguments of ``model.fit``.
                epochs: of the whole training.
                callbacks: other callbacks. The state of EarlyStopping and ReduceLROnPlateau is saved and put back.
                ref: ``RUN@STEP`` or ``RUN@best`` to go on from another one than the newest.
                fit: more arguments of ``model.fit``.

            Returns:
                The ``History`` of the epochs that were trained now; None if there was nothing left to train.

            Raises:
                UsageError: the arguments do not fit together.
                NothingResumable: there are checkpoints, but none that verifies.
                BackendError: the checkpoint does not fit the model; it is unchanged.
            """
            if "initial_epoch" in fit:
                raise UsageError("initial_epoch is where the checkpoint ends", hint="leave it out")
            self._feed = Feed(x) if type(x).__name__ == "PersistentIterator" else None
            per_epoch = fit.get("steps_per_epoch")
            if self._feed is not None and per_epoch is None:
                raise UsageError(
                    "a persistent iterator goes on for ever: when does an epoch end?", hint="give steps_per_epoch"
                )
            if self._every_steps is not None and self._feed is None:
                raise UsageError(
                    "every_steps: fit() begins an epoch of this data again", hint="give a PersistentIterator"
                )
            self._others = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
            self._order = _doubt(x, fit.get("shuffle", True)) if self._feed is None else None
            keras_state.build(model)
            progress = self._restore(model, ref)
            epoch, begun = progress["epoch"], progress["batches_in_epoch"]
            self._steps = progress["steps"]
            fit["callbacks"] = [*self._others, self]
            history = None
            if begun and self._feed is not None and epoch < epochs:
                self._offset = begun
                rest = {**fit, "steps_per_epoch": per_epoch - begun}
                history = model.fit(self._feed.dataset(), *args, initial_epoch=epoch, epochs=epoch + 1, **rest)
                self._offset, epoch = 0, epoch + 1
            if epoch < epochs:
                data = x if self._feed is None else self._feed.dataset()
                history = model.fit(data, *args, initial_epoch=epoch, epochs=epochs, **fit)
            return history

        def _restore(self, model: Any, ref: str | None) -> dict[str, Any]:
            into: dict[str, Any] = {"model": None, "rng": GlobalRng()}
            if self._feed is not None:
                into["data"] = self._feed.batches
            chosen = self._keeper.newest(ref)
            if chosen is None:
                return {"epoch": 0, "batches_in_epoch": 0, "steps": 0}
            folder = chosen.at.folder / "model"
            progress: dict[str, Any] = json.loads((folder / _PROGRESS).read_bytes())
            keras_state.read(model, folder, progress["variables"])
            self._keeper.store.restore(chosen.at.ref, into)
            self._restored = progress["callbacks"]
            self._metrics = progress["metrics"]
            return progress

        def on_train_begin(self, logs: Any = None) -> None:
            """Put the state of other callbacks back, which have just reset themselves; make the run ready."""
            for callback in self._others:
                vars(callback).update(self._restored.get(type(callback).__name__, {}))
            self._restored = {}
            self._keeper.prepare(self._steps)
            self._stop.watch()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Count batches from the beginning of the epoch, or from where it was left; fit() has reset the metrics."""
            self._epoch, self._batches, self._done = epoch, self._offset, 0
            if self._offset:
                keras_state.put_metrics(self.model, self._metrics)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Save if it is time."""
            count, self._done = batch + 1 - self._done, batch + 1
            before, self._steps = self._steps, self._steps + count
            self._batches += count
            if self._feed is not None:
                self._feed.trained(count)
            due = self._every_steps is not None and self._steps // self._every_steps > before // self._every_steps
            last = self._batches == self.params.get("steps", 0) + self._offset
            if (due or self._stop.requested) and not last:
                self._save(self._epoch, self._batches, logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Save if it is time, or if a SIGTERM came in the last batch or during validation."""
            due = self._every_epochs is not None and (epoch + 1) % self._every_epochs == 0
            due |= self._every_steps is not None and self._steps % self._every_steps == 0
            if due or self._stop.requested:
                self._save(epoch + 1, 0, logs)

        def on_train_end(self, logs: Any = None) -> None:
            """Put the previous handler back."""
            self._stop.unwatch()

        def _save(self, epoch: int, batches: int, logs: Mapping[str, Any] | None) -> None:
            counters = {"epoch": epoch, "batches_in_epoch": batches}
            with tempfile.TemporaryDirectory(prefix="ckptkit-") as place:
                folder = Path(place)
                states, forgotten = _states(self._others)
                variables = keras_state.write(self.model, folder)
                progress = {**counters, "steps": self._steps, "variables": variables, "callbacks": states}
                progress["metrics"] = keras_state.metrics(self.model)
                (folder / _PROGRESS).write_text(json.dumps(progress))
                files = {name: folder / name for name in (keras_state.WEIGHTS, _PROGRESS)}
                grade = self._grade(batches, variables["lost"], forgotten)
                items: dict[str, Any] = {"model": Written(files, grade, self._steps, counters), "rng": GlobalRng()}
                if self._feed is not None:
                    items["data"] = self._feed.batches
                numbers = {k: float(v) for k, v in (logs or {}).items()}
                name = self._keeper.save(self._steps, items, metrics=numbers, counters=counters)
            if self._stop.requested:
                self._stop.exit(name)

        def _grade(self, batches: int, lost: int, forgotten: Sequence[str]) -> Captured:
            if batches and self._feed is None:
                return Captured("partial", ["in the middle of an epoch, which fit() begins again with its data"])
            if self._feed is not None and self._feed.ahead:
                return Captured("partial", [f"the data is {self._feed.ahead} batches ahead of the training"])
            if self._order is not None:
                return Captured("partial", [self._order])
            if lost:
                return Captured("partial", [f"{lost} variables are not in {keras_state.WEIGHTS}"])
            if forgotten:
                return Captured("partial", [f"the state of {', '.join(forgotten)} is not saved"])
            return Captured()

    return CheckpointCallback


def _doubt(data: Any, shuffle: Any) -> str | None:
    """Return why the order of the data after a resume is not known, or None where it is."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return f"how Keras shuffles with {keras.backend.backend()} was not tried"
    kinds = {(c.__module__.partition(".")[0], c.__name__) for c in type(data).__mro__}
    if not kinds & {("numpy", "ndarray"), ("tensorflow", "Tensor"), ("torch", "Tensor")}:
        return "the position and the shuffling inside fit()'s data cannot be saved; give it a PersistentIterator"
    if shuffle and _unseeded():
        return "fit() shuffles without a seed; call keras.utils.set_random_seed first, or give shuffle=False"
    return None


def _unseeded() -> bool:
    import importlib

    # There is no public way to ask; should this one vanish, the grade falls.
    seeds = importlib.import_module("keras.src.utils.rng_utils")
    return getattr(seeds, "get_random_seed", lambda: None)() is None


def _states(callbacks: Sequence[Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the plain state of callbacks that decide with it, and the names of those that have more than that."""
    states: dict[str, dict[str, Any]] = {}
    forgotten = []
    for callback in callbacks:
        name = type(callback).__name__
        if name in _STATEFUL and type(callback).__module__.startswith("keras."):
            plain = {k: v for k, v in vars(callback).items() if v is None or type(v) in (bool, int, float, str)}
            states[name] = {k: v for k, v in plain.items() if not k.startswith("_")}
            if getattr(callback, "best_weights", None) is not None:
                forgotten.append(f"{name}.best_weights")
    return states, forgotten
