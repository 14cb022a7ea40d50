"""Hugging Face Trainer: a callback that adopts each checkpoint the Trainer writes, and names the one to resume from."""

from pathlib import Path
from typing import Any, Unpack

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
        how: ``retain``, ``sigterm``, ``resume``, ``replace_newer``, ``prove``, as all hooks take them; see
            ``ckptkit_hooks.arguments.Arguments``. In a rehearsal ``output_dir`` is a scratch folder, and nothing is
            reported.

    Returns:
        The callback, with the method ``latest(ref=None)``: the path of the newest checkpoint that verifies, for
        ``trainer.train(resume_from_checkpoint=hook.latest())``, or None for a fresh start; ``ref`` names another one.

    Raises:
        UsageError: an argument makes no sense.
    """
    said = Arguments.of(how, where="the Trainer's hook")
    keeper = Keeper(store, run, retain=said.retain, resume=said.resume, replace_newer=said.replace_newer)
    observer = keeper.store.observe(run, prove=said.prove, resume=said.resume)
    torch_proof.silence()
    from ckptkit_hooks import hf_callback  # only now is transformers needed

    return hf_callback.CheckpointCallback(keeper, StopRequest({"Trainer.train"}, enabled=said.sigterm), observer)
