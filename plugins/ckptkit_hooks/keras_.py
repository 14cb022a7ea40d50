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
    from ckptkit_hooks import keras_callback  # only now is Keras needed, and KERAS_BACKEND read

    return keras_callback.CheckpointCallback(Training(keeper, stop, every_steps, every_epochs, observer))
