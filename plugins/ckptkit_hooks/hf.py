"""Hugging Face Trainer: a callback that adopts each checkpoint the Trainer writes, and names the one to resume from."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Written

from ckptkit.backend import Captured
from ckptkit.errors import BackendError
from ckptkit.store import CheckpointStore
from ckptkit.store.observing import Observer, Prove
from ckptkit_hooks import torch_proof
from ckptkit_hooks.hf_loop import FILE_NAME, TrainerLoop
from ckptkit_hooks.keeper import Keeper, Mode
from ckptkit_hooks.sigterm import StopRequest

_ITEM = "trainer"


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
    return _callback_class()(keeper, StopRequest({"Trainer.train"}, enabled=sigterm), observer)


_CLASSES: list[Any] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # noqa: C901  # a class in a function: transformers may not be imported outside
    from transformers import TrainerCallback

    class CheckpointCallback(TrainerCallback):  # type: ignore[misc]  # transformers is optional: Any for mypy
        """Adopts what the Trainer saves; turns a SIGTERM into a save."""

        def __init__(self, keeper: Keeper, stop: StopRequest, observer: Observer) -> None:
            self._observer = observer
            self._keeper = keeper
            self._stop = stop
            self._loop: TrainerLoop | None = None
            self._chosen: Path | None = None
            self._run: str | None = None

        def latest(self, ref: str | None = None) -> str | None:
            """Return the folder of the newest checkpoint that verifies, or None if there is no checkpoint at all.

            Args:
                ref: ``RUN@STEP`` or ``RUN@best``, for one other than the newest.

            Raises:
                NothingResumableError: there are checkpoints, but none that verifies.
            """
            chosen = self._keeper.newest(ref)
            self._chosen = None if chosen is None else chosen.at.folder.absolute()
            self._run = None if chosen is None else chosen.at.run
            return None if self._chosen is None else str(self._chosen / _ITEM)

        def on_init_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """In a rehearsal, leave the Trainer's own folder alone."""
            torch_proof.keep_trainer_apart(args)

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Make the run ready, put back what the Trainer's checkpoint lacks, watch the data and watch for SIGTERM.

            Raises:
                BackendError: more than one process trains; they do not write their files at the same moment.
                DamagedError: the files beside the checkpoint are not what this hook wrote.
                StoreError, LockedError, ConflictError: see ``CheckpointStore.prepare``.
            """
            if args.world_size > 1:
                raise BackendError(
                    f"{args.world_size} processes train: this hook adopts checkpoints of one process only",
                    hint="leave the hook out and adopt finished folders with `ckptkit save`",
                )
            self._keeper.prepare(state.global_step)
            self._loop = TrainerLoop(args, others.get("model"), others.get("train_dataloader"))
            if self._chosen is not None and state.global_step:
                self._loop.resume(self._chosen / "data" / FILE_NAME, state)
                self._keeper.store.resumed(f"{self._run}@{state.global_step}")
            self._stop.watch()

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Note that an epoch has begun."""
            self._at_hand().epoch_over = False

        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Finish taking up an epoch: the Trainer has just put its generators back."""
            self._at_hand().step_begun()

        def on_evaluate(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Note the loader of the evaluation."""
            if self._loop is not None:
                self._loop.evaluated(others.get("eval_dataloader"))

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
            """Note the step. Ask the Trainer for a save after a SIGTERM: gradients are applied, nothing is pending."""
            loop = self._at_hand()
            self._observer.note(
                state.global_step, lambda: loop.noted(others.get("optimizer"), others.get("lr_scheduler"))
            )
            if self._stop.requested and not float(state.epoch).is_integer():
                control.should_save = True
            return control

        def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
            """Ask for the save here after an epoch's last step: no resume would run an evaluation that comes first."""
            self._at_hand().epoch_over = True
            if self._stop.requested:
                control.should_save = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Adopt the folder that the Trainer has just finished; end the process if a SIGTERM asked for it.

            Raises:
                CkptkitError: it cannot be adopted; see ``CheckpointStore.save``.
            """
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            told, reasons = self._at_hand().said(state)
            captured = Captured("partial", reasons) if reasons else Captured()
            with tempfile.TemporaryDirectory(prefix="ckptkit-") as place:
                note = Path(place, FILE_NAME)
                note.write_text(json.dumps(told))
                items = {_ITEM: folder, "data": Written({note.name: note}, captured, state.global_step)}
                name = self._keeper.save(state.global_step, items, metrics=_logged(state))
            if self._stop.requested:
                self._stop.exit(name)

        def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Put back the previous handler and the loader."""
            self._stop.unwatch()
            self._observer.close()
            self._at_hand().end()

        def _at_hand(self) -> TrainerLoop:
            if self._loop is None:
                raise BackendError("this hook saw no on_train_begin: hand it to the Trainer before it trains")
            return self._loop

    return CheckpointCallback


def _logged(state: Any) -> dict[str, float]:
    """Return what was logged at this step: losses, evaluation, learning rate."""
    metrics: dict[str, float] = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        metrics = {**{k: float(v) for k, v in entry.items() if type(v) in (int, float)}, **metrics}
    return {k: v for k, v in metrics.items() if k != "step" and not k.endswith(_TIMES)}


_TIMES = ("_runtime", "_per_second")
