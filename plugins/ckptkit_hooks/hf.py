"""Hugging Face Trainer: a callback that adopts each checkpoint the Trainer writes, and names the one to resume from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Prove
from ckptkit_hooks import torch_proof
from ckptkit_hooks.keeper import Keeper, Mode
from ckptkit_hooks.sigterm import StopRequest


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path,
    run: str,
    *,
    keep_last_n: int | None = None,
    keep_best_n: int | None = None,
    best_metric: str | None = None,
    best_mode: Mode | None = None,
    sigterm: bool = True,
    resume: Sequence[str] | None = None,
    replace_newer: bool = False,
    prove: Prove = "first",
) -> Any:
    """Return a ``TrainerCallback`` that keeps the checkpoints of one run.

    The ``TrainingArguments`` decide when and what is saved (``save_strategy``, ``save_steps``). Each ``checkpoint-N``
    folder is adopted once the Trainer has written all of it: checked, copied into the store and committed. The
    Trainer's own folders stay under its ``save_total_limit``.

    What the Trainer leaves out is saved beside it: state in dataset, collator and samplers, attributes of the model
    that training changes, and the generators as they were when the epoch's data began. A run that resumes through
    ``latest`` inside an epoch fetches the epoch's batches once more, and continues exactly. What cannot be put back is
    named, and the grade
    is ``partial``.

    A SIGTERM makes the Trainer save after the optimizer step it is in, or at the end of the epoch if that is its last
    one; then the process ends with exit code 143.

    Args:
        store: the store, or its path.
        run: name of the run.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best by ``best_metric`` besides.
        best_metric: a metric that the Trainer logs, for example ``eval_loss``.
        best_mode: whether the best is the ``min`` or the ``max``.
        sigterm: whether SIGTERM saves first.
        resume: argument list for ``ckptkit resume-cmd``.
        replace_newer: move checkpoints beyond the step that training continues from to the trash; otherwise training
            does not begin while there are any.
        prove: after which save the run proves itself: its ``first``, each M-th, or ``never``. What the next steps did
            is noted, and the ``resume`` command is rehearsed in the background; see ``CheckpointStore.observe``. In the
            rehearsal ``output_dir`` is a scratch folder, and nothing is reported.

    Returns:
        The callback, with the method ``latest(ref=None)``: the path of the newest checkpoint that verifies, for
        ``trainer.train(resume_from_checkpoint=hook.latest())``, or None for a fresh start; ``ref`` names another one.

    Raises:
        UsageError: a count below 1, or a metric without mode.
    """
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
    observer = keeper.store.observe(run, prove=prove, resume=resume)
    torch_proof.silence()
    from ckptkit_hooks import hf_callback  # only now is transformers needed

    return hf_callback.CheckpointCallback(keeper, StopRequest({"Trainer.train"}, enabled=sigterm), observer)
