"""One Keras training with its checkpoints: where it begins, when it saves, what its checkpoints hold."""

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from ckptkit_numpy import GlobalRng

from ckptkit import Schedule
from ckptkit.backend import Captured
from ckptkit.errors import UsageError
from ckptkit.store import Chosen
from ckptkit.store.observing import Observer
from ckptkit_hooks import keras_doubt, keras_loop, keras_state
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.keras_callbacks import Others
from ckptkit_hooks.keras_feed import Feed
from ckptkit_hooks.keras_files import PROGRESS, KerasFiles
from ckptkit_hooks.keras_put import new_generator
from ckptkit_hooks.keras_traced import Trace
from ckptkit_hooks.sigterm import StopRequest

_FORMAT = 2
_LOG = logging.getLogger("ckptkit_hooks")


class Training:
    """What the callback does, without depending on Keras.

    Args:
        keeper: the checkpoints of the run.
        stop: says whether SIGTERM came.
        schedule: after how many batches or epochs it saves.
        observer: the observer with which the run proves itself.
    """

    def __init__(self, keeper: Keeper, stop: StopRequest, schedule: Schedule, observer: Observer) -> None:
        self._keeper = keeper
        self._stop = stop
        self._observer = observer
        self._trace = Trace()
        self._schedule = schedule
        self._feed: Feed | None = None
        self._doubts: list[str] = ["the training began with model.fit: its data is not known; begin it with hook.fit"]
        self._others: Others | None = None
        self._from: tuple[Chosen, dict[str, Any]] | None = None
        self._files = Path()  # of the checkpoint that is put back
        self._model: Any = None
        self._said_that_it_waits = False
        self._steps = self._begun = self._epoch = self._batches = 0

    def fit(self, hook: Any, model: Any, x: Any, args: Sequence[Any], ref: str | None, fit: dict[str, Any]) -> Any:
        """Train from the newest checkpoint that verifies; see ``CheckpointCallback.fit``."""
        if "initial_epoch" in fit:
            raise UsageError("initial_epoch is where the checkpoint ends", hint="leave it out")
        epochs = fit.pop("epochs")
        steps = self._take(x, args, fit)
        self._others = Others(fit.pop("callbacks"), hook)
        self._from, self._steps, self._begun = None, 0, 0
        epoch = self._choose(model, ref, _batch_of(x, args, fit, self._feed))
        callbacks = [*self._others.all, hook]
        fit |= {"initial_epoch": min(epoch, epochs), "epochs": epochs, "callbacks": callbacks}
        data = x if self._feed is None else self._feed.dataset()
        with contextlib.ExitStack() as undo:
            if self._begun and epoch < epochs:
                fit["callbacks"] = keras_loop.callback_list(
                    callbacks,
                    model,
                    begun=self._begun,
                    epochs=epochs,
                    steps=steps,
                    verbose=fit.get("verbose", "auto"),
                )
                self._undo = undo
            return model.fit(data, *args, **fit)

    def _take(self, x: Any, args: Sequence[Any], fit: Mapping[str, Any]) -> int | None:
        """Look at the data; return the steps of an epoch, if given."""
        self._feed = Feed(x) if type(x).__name__ == "PersistentIterator" else None
        steps: int | None = fit.get("steps_per_epoch")
        if self._feed is not None and steps is None:
            raise UsageError(
                "a persistent iterator goes on for ever: when does an epoch end?", hint="give steps_per_epoch"
            )
        if self._schedule.every_steps is not None and self._feed is None:
            raise UsageError("every_steps: fit() begins an epoch of this data again", hint="give a PersistentIterator")
        doubt = None
        if self._feed is None:
            size = fit.get("batch_size", args[1] if len(args) > 1 else None)
            doubt = keras_doubt.about(x, shuffle=fit.get("shuffle", True), steps=steps, batch_size=size)
        self._doubts = [] if doubt is None else [doubt]
        return steps

    def _choose(self, model: Any, ref: str | None, batch: Any) -> int:
        """Find the checkpoint to resume from, and return the epoch in which training continues."""
        chosen = self._keeper.newest(ref)
        if chosen is None:
            return 0
        self._files = chosen.fetched() / "model"
        progress: dict[str, Any] = json.loads((self._files / PROGRESS).read_bytes())
        keras_state.build(model, batch)
        self._from = chosen, progress
        self._steps = progress["steps"]
        self._begun = progress["batches_in_epoch"] if _can_begin_late(self._feed) else 0
        assert self._others is not None
        if progress.get("stopped") and self._others.has("EarlyStopping"):
            _LOG.warning("%s: EarlyStopping ended this training; nothing is left to train", chosen.at.ref)
            self._begun = 0
            return 2**62
        epoch: int = progress["epoch"]
        return epoch

    def begin(self, model: Any) -> None:
        """Put everything back once the other callbacks began: they reset themselves and may change the model."""
        self._model = model
        if self._others is not None:
            if self._from is None and self._others.has("BackupAndRestore") and getattr(model, "_initial_epoch", None):
                raise UsageError(
                    "BackupAndRestore has put back a model that this run has no checkpoint of",
                    hint="remove its backup, or leave it out: this hook does the same",
                )
            self._keeper.prepare(self._steps)
            self._others.look_into(model)
            for reason in self._others.began(keras_state.owned(model)):
                _LOG.warning("%s: not captured, so checkpoints will be partial: %s", self._keeper.run, reason)
        if self._from is not None:
            for told in self._put_back(*self._from):
                _LOG.warning("%s: %s", self._from[0].at.ref, told)
            if getattr(model, "_initial_epoch", None):  # another callback's idea of where to go on
                model._initial_epoch = None
        self._stop.watch()

    def _put_back(self, chosen: Chosen, progress: Mapping[str, Any]) -> list[str]:
        assert self._others is not None
        arrays = _arrays(self._files)
        keras_state.read(self._model, self._files, progress["variables"], arrays)
        into: dict[str, Any] = {"model": None, "rng": GlobalRng()}
        told: list[str] = []
        if progress.get("format", 1) == 1:
            self._others.put_back_of_old(progress["callbacks"])
        else:
            put = self._others.put_back(progress["callbacks"], arrays)
            spare = {place: new_generator(kind) for place, kind in progress["generators"].items()}
            into["rng"], told = GlobalRng({**spare, **put.generators}), put.told
        if self._feed is not None:
            into["data"] = self._feed.batches
            self._feed.forget()
        self._keeper.store.restore(chosen, into)
        return told

    def begin_epoch(self, epoch: int) -> None:
        """Continue an epoch where it was left: other callbacks have begun it for a second time."""
        self._epoch, self._batches = epoch, self._begun
        if self._begun and self._from is not None:
            chosen, progress = self._from
            self._put_back(chosen, progress)
            arrays = _arrays(self._files)
            if progress.get("format", 1) == 1:
                arrays = {f"metric-{i}": value for i, value in enumerate(_as_arrays(progress["metrics"]))}
            lost = keras_state.put_metrics(self._model, arrays)
            if lost is not None:
                _LOG.warning("%s: the logs of this epoch begin at its middle: %s", chosen.at.ref, lost)
            self._undo.callback(keras_loop.pass_over(self._model, self._begun))
        self._from, self._begun = None, 0

    def end_batch(self, batch: int, steps: int, logs: Mapping[str, Any] | None) -> None:
        """Count the batches up to this one, and save if it is time."""
        count, self._batches = batch + 1 - self._batches, batch + 1
        before, self._steps = self._steps, self._steps + count
        if self._feed is not None:
            self._feed.trained(count)
        self._observer.note(self._steps, self._observed)
        due = self._schedule.steps_due(before, self._steps)
        last = 0 < steps <= self._batches  # beyond it, if several steps at once do not divide an epoch
        if (due or self._stop.requested) and not last:
            self._save(self._epoch, self._batches, logs)

    def end_epoch(self, epoch: int, logs: Mapping[str, Any] | None) -> None:
        """Save if it is time, or if a SIGTERM came in the last batch or during validation."""
        due = self._schedule.epochs_due(epoch + 1)
        due |= self._schedule.steps_due(self._steps - 1, self._steps)
        if due or self._stop.requested:
            self._save(epoch + 1, 0, logs)

    def end(self) -> None:
        """Wait for the last save, and let a short run prove itself with what was noted."""
        try:
            self._stop.end(self._keeper.wait)
        finally:
            self._observer.close()

    def _save(self, epoch: int, batches: int, logs: Mapping[str, Any] | None) -> None:
        counters = {"epoch": epoch, "batches_in_epoch": batches}
        others = self._others or Others(None, None)
        keras_state.complete(self._model)
        held, callbacks = others.capture(keras_state.owned(self._model))
        if batches:
            keras_state.keep_metrics(self._model, held.arrays)
        progress = {
            "format": _FORMAT,
            **counters,
            "steps": self._steps,
            "callbacks": callbacks,
            "generators": held.kinds,
            "stopped": bool(self._model.stop_training) and others.has("EarlyStopping"),
        }
        files = KerasFiles(self._model, progress, held.arrays, self._say_that_it_waits)
        captured = self._captured(batches, held.reasons)
        items: dict[str, Any] = {
            "model": Written(files, captured, self._steps, counters),
            "rng": GlobalRng(held.generators),
        }
        if self._feed is not None:
            items["data"] = self._feed.batches
        numbers = {k: float(v) for k, v in (logs or {}).items()}
        name = self._keeper.save(self._steps, items, metrics=numbers, counters=counters)
        if self._stop.requested:
            self._keeper.wait()
            self._stop.exit(name)

    def _say_that_it_waits(self, error: Exception) -> None:
        if not self._said_that_it_waits:
            self._said_that_it_waits = True
            reason = (str(error).strip().splitlines() or [""])[0]
            _LOG.warning(
                "wait=False: training waits until Keras's file is written: %s: %s", type(error).__name__, reason
            )

    def _observed(self) -> dict[str, Any]:
        """Return what an observer compares after a step."""
        keras_state.complete(self._model)
        others, owned = self._others or Others(None, None), keras_state.owned(self._model)
        digests = {**keras_state.parts(self._model), **others.digests(owned)}
        held, _ = others.capture(owned)
        items: dict[str, Any] = {"model": Written({}, Captured(), digests=digests), "rng": GlobalRng(held.generators)}
        return items if self._feed is None else {**items, "data": self._feed.batches}

    def _captured(self, batches: int, lacking: Sequence[str]) -> Captured:
        reasons = [*self._doubts, *lacking, *self._trace.unkept(self._model)]
        if batches and not _can_begin_late(self._feed):
            reasons.append("in the middle of an epoch, which fit() begins again with its data")
        if self._feed is not None and self._feed.ahead:
            reasons.append(f"the data is {self._feed.ahead} batches ahead of the training")
        return Captured("partial", reasons) if reasons else Captured()


def _can_begin_late(feed: Feed | None) -> bool:
    import keras

    return feed is not None and keras.backend.backend() == "tensorflow"


def _batch_of(x: Any, args: Sequence[Any], fit: Mapping[str, Any], feed: Feed | None) -> Any:
    """Return what describes a batch; only its shapes and dtypes are looked at."""
    if feed is not None:
        return feed.spec
    if hasattr(x, "element_spec"):
        return x.element_spec
    return (x, args[0] if args else fit.get("y"), fit.get("sample_weight"))


def _arrays(folder: Path) -> dict[str, Any]:
    import numpy as np

    path = folder / keras_state.ARRAYS
    if not path.exists():  # written before 1.1
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _as_arrays(values: Sequence[Any]) -> list[Any]:
    import numpy as np

    return [np.asarray(value) for value in values]
