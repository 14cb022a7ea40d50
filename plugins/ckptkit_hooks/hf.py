"""Hugging Face Trainer: a callback that adopts each checkpoint the Trainer wrote, and names the one to resume from."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from ckptkit_numpy import GlobalRng

from ckptkit.backend import Captured
from ckptkit.errors import BackendError
from ckptkit.store import CheckpointStore
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
) -> Any:
    """Return a ``TrainerCallback`` that keeps the checkpoints of one run.

    When and what is saved is up to the ``TrainingArguments`` (``save_strategy``, ``save_steps``). Each ``checkpoint-N``
    folder is adopted once the Trainer has written all of it: checked, copied into the store and committed. The
    Trainer's own folders stay under its ``save_total_limit``.

    The Trainer resumes exactly on one CPU, but for one case, which the grade tells: in the middle of an epoch, when
    dataset or collator draw random numbers (masking, augmentation). At the end of an epoch that is exact as well.

    A SIGTERM makes the Trainer save after the optimizer step
    it is in; then the process ends with exit code 143.

    Args:
        store: the store, or its path.
        run: name of the run.
        keep_last_n: keep this many of the newest that verify; None keeps all.
        keep_best_n: keep this many of the best by ``best_metric`` besides.
        best_metric: a metric that the Trainer logs, for example ``eval_loss``.
        best_mode: whether the best is the ``min`` or the ``max``.
        sigterm: whether SIGTERM saves first.
        resume: argument list for ``ckptkit resume-cmd``.
        replace_newer: move checkpoints beyond the step that training goes on from to the trash; else training does not
            begin while there are such.

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
    return _callback_class()(keeper, StopRequest({"Trainer.train"}, enabled=sigterm))


_CLASSES: list[Any] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:
    from transformers import TrainerCallback

    class CheckpointCallback(TrainerCallback):  # type: ignore[misc]  # transformers is optional: Any for mypy
        """Adopts what the Trainer saves; turns a SIGTERM into a save."""

        def __init__(self, keeper: Keeper, stop: StopRequest) -> None:
            self._keeper = keeper
            self._stop = stop
            self._doubt: str | None = None

        def latest(self, ref: str | None = None) -> str | None:
            """Return the folder of the newest checkpoint that verifies, None if there is no checkpoint at all.

            Args:
                ref: ``RUN@STEP`` or ``RUN@best`` for another one than the newest.

            Raises:
                NothingResumable: there are checkpoints, but none that verifies.
            """
            chosen = self._keeper.newest(ref)
            return None if chosen is None else str(chosen.at.folder.absolute() / _ITEM)

        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Make the run ready, and watch for SIGTERM.

            Raises:
                BackendError: more than one process trains; their files are not written at the same moment.
                StoreError, LockedError, ConflictError: see ``CheckpointStore.prepare``.
            """
            if args.world_size > 1:
                raise BackendError(
                    f"{args.world_size} processes train: this hook adopts checkpoints of one process only",
                    hint="leave the hook out and adopt finished folders with `ckptkit save`",
                )
            self._keeper.prepare(state.global_step)
            self._doubt = _doubt(args, others.get("train_dataloader"))
            self._stop.watch()

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
            """Ask the Trainer for a save after a SIGTERM: gradients are applied, nothing is pending."""
            if self._stop.requested:
                control.should_save = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Adopt the folder that the Trainer has just finished; end the process if a SIGTERM asked for it.

            Raises:
                CkptkitError: it cannot be adopted; see ``CheckpointStore.save``.
            """
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            middle = not float(state.epoch).is_integer()
            grade = Captured("partial", [self._doubt]) if middle and self._doubt else Captured()
            with tempfile.TemporaryDirectory(prefix="ckptkit-") as place:
                note = Path(place, "position.json")
                note.write_text(json.dumps({"epoch": state.epoch, "global_step": state.global_step}))
                items = {_ITEM: folder, "data": Written({note.name: note}, grade, state.global_step)}
                name = self._keeper.save(state.global_step, items, metrics=_logged(state))
            if self._stop.requested:
                self._stop.exit(name)

        def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Put the previous handler back."""
            self._stop.unwatch()

    return CheckpointCallback


def _doubt(args: Any, loader: Any) -> str | None:
    """Return why the data of an epoch that was begun cannot be taken up again exactly, or None where it can.

    The Trainer skips the batches that were used without fetching them, and puts the random generators back only after
    it has fetched the next ones.
    """
    if args.ignore_data_skip:
        return "ignore_data_skip: a resume begins the epoch's data again"
    try:
        with GlobalRng():
            before = GlobalRng().capture()
            loader.collate_fn([loader.dataset[0]])
            drew = GlobalRng().capture() != before
    except Exception:  # a stream, or a dataset that does not like to be asked for one row
        return "whether fetching a batch draws random numbers is not known of this dataset"
    return "fetching a batch draws random numbers, and the Trainer does not repeat them in mid-epoch" if drew else None


def _logged(state: Any) -> dict[str, float]:
    """Return what was logged at this step: losses, evaluation, learning rate."""
    metrics: dict[str, float] = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        metrics = {**{k: float(v) for k, v in entry.items() if type(v) in (int, float)}, **metrics}
    return {k: v for k, v in metrics.items() if k != "step" and not k.endswith(_TIMES)}


_TIMES = ("_runtime", "_per_second")
