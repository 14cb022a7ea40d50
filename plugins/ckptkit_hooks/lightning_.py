"""Lightning: a callback that keeps Lightning's own ``.ckpt`` files and adds what they lack for an exact resume."""

import sys
from pathlib import Path
from typing import Any, Unpack

from ckptkit import Schedule
from ckptkit.store import CheckpointStore
from ckptkit_hooks import torch_proof
from ckptkit_hooks.arguments import Arguments, HookFields
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.sigterm import StopRequest


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path,
    run: str,
    **how: Unpack[HookFields],
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
        how: ``schedule``, ``retain``, ``sigterm``, ``resume``, ``replace_newer``, ``prove``, ``wait``, as of all hooks;
            see ``ckptkit_hooks.arguments.Arguments``.
            ``every_steps`` counts ``trainer.global_step``; each epoch is saved
            if no schedule is given. In a rehearsal nothing is logged, and other callbacks write their checkpoints in a
            scratch folder.

    Returns:
        The callback, with the method ``latest(ref=None)``: the path of the newest checkpoint that verifies, for
        ``trainer.fit(module, ckpt_path=hook.latest())``, or None for a fresh start; ``ref`` names another one.

    Raises:
        UsageError: an argument makes no sense.
    """
    said = Arguments.of(how, "every_steps", "every_epochs", where="Lightning's hook", usually=Schedule(every_epochs=1))
    keeper = Keeper.of(store, run, said)
    stop = StopRequest({"_call_and_handle_interrupt"}, enabled=said.sigterm)
    observer = keeper.store.observe(run, prove=said.prove, resume=said.resume)
    torch_proof.silence()
    return _callback_class()(keeper, stop, said.schedule, observer)


def _callback_class() -> Any:
    """Return the class for the package whose Trainer is in use: ``lightning`` and ``pytorch_lightning`` are two."""
    if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
        from ckptkit_hooks import pytorch_lightning_callback

        return pytorch_lightning_callback.CheckpointCallback
    from ckptkit_hooks import lightning_package_callback

    return lightning_package_callback.CheckpointCallback
