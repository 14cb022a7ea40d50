"""Lightning: a callback that keeps Lightning's own ``.ckpt`` files and adds what they lack for an exact resume."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Prove
from ckptkit_hooks import torch_proof
from ckptkit_hooks.keeper import Keeper, Mode
from ckptkit_hooks.sigterm import StopRequest


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
    """Return a Lightning ``Callback`` that keeps the checkpoints of one run.

    It saves what ``trainer.save_checkpoint`` writes: module, optimizers, schedulers, loops, callbacks, datamodule. What
    Lightning leaves out is added: the random generators, as they are now and as they were when the epoch's iterator was
    made; attributes of module, datamodule, callbacks, datasets and samplers that training changed; which parameters
    train. A run that resumes in the middle of an epoch makes that iterator again, takes the batches that were already
    used, and continues. What cannot be put back is named, and the grade is ``partial``.

    Args:
        store: the store, or its path.
        run: name of the run.
        every_steps: save whenever ``trainer.global_step`` passes a multiple of it, after that optimizer step.
        every_epochs: save whenever this many training epochs have ended; 1 if neither is given.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best by ``best_metric`` besides.
        best_metric: a metric that the module logs.
        best_mode: whether the best is the ``min`` or the ``max``.
        sigterm: whether SIGTERM saves first, after the optimizer step that it falls into.
        resume: argument list for ``ckptkit resume-cmd``.
        replace_newer: move checkpoints beyond the step that training continues from to the trash; otherwise training
            does not begin while there are any.
        prove: after which save the run proves itself: its ``first``, each M-th, or ``never``. What the next steps did
            is noted, and the ``resume`` command is rehearsed in the background; see ``CheckpointStore.observe``. In the
            rehearsal nothing is logged, and other callbacks write their checkpoints in a scratch folder.

    Returns:
        The callback, with the method ``latest(ref=None)``: the path of the newest checkpoint that verifies, for
        ``trainer.fit(module, ckpt_path=hook.latest())``, or None for a fresh start; ``ref`` names another one.

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
    stop = StopRequest({"_call_and_handle_interrupt"}, enabled=sigterm)
    observer = keeper.store.observe(run, prove=prove, resume=resume)
    torch_proof.silence()
    return _callback_class()(keeper, stop, every_steps, every_epochs, observer)


def _callback_class() -> Any:
    """Return the class for the package whose Trainer is in use: ``lightning`` and ``pytorch_lightning`` are two."""
    if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
        from ckptkit_hooks import pytorch_lightning_callback

        return pytorch_lightning_callback.CheckpointCallback
    from ckptkit_hooks import lightning_package_callback

    return lightning_package_callback.CheckpointCallback
