"""Keras: a callback that saves weights, optimizer, callbacks and the position in the data, and resumes from them."""

from pathlib import Path
from typing import Any, Unpack

from ckptkit import Schedule
from ckptkit.store import CheckpointStore
from ckptkit_hooks.arguments import Arguments, HookFields
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.keras_run import Training
from ckptkit_hooks.sigterm import StopRequest

_LOOPS = {f"{kind}Trainer.fit" for kind in ("", "TensorFlow", "Torch", "JAX")}


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path,
    run: str,
    **how: Unpack[HookFields],
) -> Any:
    """Return a ``keras.callbacks.Callback`` that keeps the checkpoints of one run, and trains through it.

    ``hook.fit(model, ...)`` is ``model.fit(...)`` that first puts the newest checkpoint that verifies into the model
    and the other callbacks. Checkpoints are complete with arrays, at the end of an epoch, and with a
    ``ckptkit_tfdata.PersistentIterator``, at any batch. Other data can be trained on too, and the checkpoint's grade
    says what cannot be put back.

    Args:
        store: the store, or its path.
        run: name of the run.
        how: ``schedule``, ``retain``, ``sigterm``, ``resume``, ``replace_newer``, ``prove``, ``wait``, as of all hooks;
            see ``ckptkit_hooks.arguments.Arguments``.
            ``every_steps`` counts batches, and needs a ``PersistentIterator``;
            each epoch is saved if no schedule is given.

    Returns:
        The callback, with the method ``fit(model, x, *args, epochs, ref=None, **fit)``.

    Raises:
        UsageError: an argument makes no sense.
    """
    said = Arguments.of(how, "every_steps", "every_epochs", where="Keras's hook", usually=Schedule(every_epochs=1))
    keeper = Keeper.of(store, run, said)
    observer = keeper.store.observe(run, prove=said.prove, resume=said.resume)
    stop = StopRequest(_LOOPS, enabled=said.sigterm)
    from ckptkit_hooks import keras_callback  # only now is Keras needed, and KERAS_BACKEND read

    return keras_callback.CheckpointCallback(Training(keeper, stop, said.schedule, observer))
