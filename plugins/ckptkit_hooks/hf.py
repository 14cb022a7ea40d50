"""Hugging Face Trainer: a callback that adopts each checkpoint the Trainer writes, and names the one to resume from."""

from pathlib import Path
from typing import Any, Unpack

from ckptkit.errors import UsageError
from ckptkit.store import CheckpointStore
from ckptkit_hooks import torch_proof
from ckptkit_hooks.arguments import Arguments, HookFields
from ckptkit_hooks.sigterm import StopRequest


def CheckpointCallback(  # reads as the callback class that it returns
    store: CheckpointStore | str | Path | None = None,
    run: str | None = None,
    **how: Unpack[HookFields],
) -> Any:
    """Return a ``TrainerCallback`` that keeps the checkpoints of one run.

    The ``TrainingArguments`` decide when and what is saved (``save_strategy``, ``save_steps``). Once the Trainer has
    written all of a ``checkpoint-N`` folder, it is checked, and gets a manifest where it lies, in ``output_dir``:
    nothing is copied. The Trainer's ``save_total_limit`` may remove folders as ever; to have them removed safely leave
    it out, and say what to ``retain``.

    Where a store is named that ``output_dir`` is not a run of, each folder is copied into it instead, and the Trainer's
    own stay under its ``save_total_limit``.

    What the Trainer leaves out is saved as well: state in dataset, collator and samplers, attributes of the model
    that training changes, and the generators as they were when the epoch's data began. A run that resumes through
    ``latest`` inside an epoch fetches the epoch's batches once more, and continues exactly. What cannot be put back is
    named, and the grade
    is ``partial``.

    A SIGTERM makes the Trainer save after the optimizer step it is in, or at the end of the epoch if that is its last
    one; then the process ends with exit code 143.

    Args:
        store: the store, or its path; ``output_dir`` itself when left out.
        run: name of the run; when left out, as ``output_dir`` is called in the store.
        how: ``retain``, ``sigterm``, ``resume``, ``replace_newer``, ``prove``, ``wait``, as all hooks take them; see
            ``ckptkit_hooks.arguments.Arguments``. In a rehearsal ``output_dir`` is a scratch folder, and nothing is
            reported.

    Returns:
        The callback, with the method ``latest(ref=None)``: the path of the newest checkpoint that verifies, for
        ``trainer.train(resume_from_checkpoint=hook.latest())``, or None for a fresh start; ``ref`` names another one.

    Raises:
        UsageError: an argument makes no sense.
    """
    if store is None and run is not None:
        raise UsageError(
            f"run={run!r} is given without a store", hint="leave both out, or name the store that it is a run of"
        )
    said = Arguments.of(how, where="the Trainer's hook")
    torch_proof.silence()
    from ckptkit_hooks import hf_callback, hf_place  # only now is transformers needed

    place = hf_place.Place(store, run, said)
    return hf_callback.CheckpointCallback(place, StopRequest({"Trainer.train"}, enabled=said.sigterm))
