"""Keras: a callback that saves weights, optimizer, callbacks and the position in the data, and resumes from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Prove
from ckptkit_hooks.keeper import Keeper, Mode
from ckptkit_hooks.keras_run import Training
from ckptkit_hooks.sigterm import StopRequest

_LOOPS = {f"{kind}Trainer.fit" for kind in ("", "TensorFlow", "Torch", "JAX")}


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
    prove: Prove = "first",
) -> Any:
    """Return a ``keras.callbacks.Callback`` that keeps the checkpoints of one run, and trains through it.

    ``hook.fit(model, ...)`` is ``model.fit(...)`` that first puts the newest checkpoint that verifies into the model
    and the other callbacks. Checkpoints are complete with arrays, at the end of an epoch, and with a
    ``ckptkit_tfdata.PersistentIterator``, at any batch. Other data can be trained on too, and the checkpoint's grade
    says what cannot be put back.

    Args:
        store: the store, or its path.
        run: name of the run.
        every_steps: save whenever this many batches have been trained; only with a ``PersistentIterator``.
        every_epochs: save whenever this many epochs have ended; 1 if neither is given.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best by ``best_metric`` besides.
        best_metric: a name in the epoch's logs, for example ``val_loss``.
        best_mode: whether the best is the ``min`` or the ``max``.
        sigterm: whether SIGTERM saves first, after the batch that it falls into.
        resume: argument list for ``ckptkit resume-cmd`` and for rehearsals: this script and its arguments.
        replace_newer: move checkpoints beyond the step that training continues from to the trash; otherwise training
            does not begin while there are any.
        prove: when the run proves itself: after its ``first`` save, after each M-th, or ``never``. What the next steps
            did is noted, and a resume is rehearsed in the background; see ``CheckpointStore.observe``.

    Returns:
        The callback, with the method ``fit(model, x, *args, epochs, ref=None, **fit)``.

    Raises:
        UsageError: an interval or a count below 1, or a metric without mode.
    """
    for interval in (every_steps, every_epochs):
        if interval is not None and interval < 1:
            raise UsageError(
                f"{interval} is not an interval between checkpoints", hint="give 1 or more, or leave it out"
            )
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
    observer = keeper.store.observe(run, prove=prove, resume=resume)
    stop = StopRequest(_LOOPS, enabled=sigterm)
    return _callback_class()(Training(keeper, stop, every_steps, every_epochs, observer))


_CLASSES: list[Any] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # a class in a function: Keras may not be imported at module level
    from keras.callbacks import Callback

    class CheckpointCallback(Callback):  # type: ignore[misc]  # Keras is optional: its classes are Any for mypy
        """Saves after batches and epochs."""

        def __init__(self, training: Training) -> None:
            super().__init__()
            self._training = training

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
            """Train like ``model.fit``, from the newest checkpoint that verifies, until ``epochs`` are complete.

            Args:
                model: compiled as in the training that is resumed.
                x: data; a ``PersistentIterator`` needs ``steps_per_epoch``.
                args: more arguments of ``model.fit``.
                epochs: of the whole training.
                callbacks: other callbacks. What they hold is saved and put back; what cannot be lowers the grade.
                ref: ``RUN@STEP`` or ``RUN@best``, to resume from one other than the newest.
                fit: more arguments of ``model.fit``.

            Returns:
                The ``History`` of the epochs trained by this call; an empty one if there was nothing left to train.

            Raises:
                UsageError: the arguments do not fit together.
                NothingResumableError: there are checkpoints, but none that verifies.
                BackendError: the checkpoint does not fit the model; it is unchanged.
            """
            return self._training.fit(self, model, x, args, ref, {**fit, "epochs": epochs, "callbacks": callbacks})

        def on_train_begin(self, logs: Any = None) -> None:
            """Put the checkpoint into the model and the callbacks; watch for SIGTERM."""
            self._training.begin(self.model)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            """Count batches from the beginning of the epoch, or from where it was left."""
            self._training.begin_epoch(epoch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Save if it is time."""
            self._training.end_batch(batch, self.params.get("steps") or 0, logs)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            """Save if it is time, or if a SIGTERM came in the last batch or during validation."""
            self._training.end_epoch(epoch, logs)

        def on_train_end(self, logs: Any = None) -> None:
            """Put the previous handler of SIGTERM back."""
            self._training.end()

    return CheckpointCallback
