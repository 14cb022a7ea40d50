"""The callback of a Hugging Face Trainer. Importing it imports transformers: ``hf`` does so when one is made."""

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ckptkit.errors import BackendError
from ckptkit.store import Chosen
from ckptkit_hooks.hf_loop import TrainerLoop
from ckptkit_hooks.hf_place import Place, folder_of, note_of
from ckptkit_hooks.sigterm import StopRequest

_LOG = logging.getLogger("ckptkit_hooks")
_TIMES = ("_runtime", "_per_second")


class CheckpointCallback(TrainerCallback):  # type: ignore[misc]  # transformers is optional: Any for mypy
    """Adopts what the Trainer saves; turns a SIGTERM into a save."""

    def __init__(self, place: Place, stop: StopRequest) -> None:
        self._place = place
        self._stop = stop
        self._loop: TrainerLoop | None = None
        self._chosen: Chosen | None = None

    def latest(self, ref: str | None = None) -> str | None:
        """Return the folder of the newest checkpoint that verifies, or None if there is no checkpoint at all.

        Args:
            ref: ``RUN@STEP`` or ``RUN@best``, for one other than the newest.

        Raises:
            NothingResumableError: there are checkpoints, but none that verifies.
            BackendError: the hook was made without a store, and not given to the Trainer yet.
        """
        self._chosen = self._place.newest(ref)
        return None if self._chosen is None else str(folder_of(self._chosen))

    def on_init_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Learn where the Trainer writes; in a rehearsal, leave its own folder alone."""
        self._place.meet(args)

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
                hint="leave the hook out and adopt finished folders with `ckptkit adopt`",
            )
        self._place.meet(args)
        self._place.keeper.prepare(state.global_step)
        self._loop = TrainerLoop(args, others.get("model"), others.get("train_dataloader"))
        if self._chosen is not None and state.global_step:
            note = note_of(self._chosen)
            if note is None:
                _LOG.warning(
                    "%s: was saved without this hook: only the Trainer's state is put back", self._chosen.at.ref
                )
            else:
                self._loop.resume(note, state)
            self._place.keeper.store.resumed(f"{self._chosen.at.run}@{state.global_step}")
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
        self._place.observer.note(
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
        name = self._place.save(state.global_step, folder, told, reasons, _logged(state))
        if self._stop.requested:
            self._place.keeper.wait()
            self._stop.exit(name)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Wait for the last save; put back the previous handler and the loader."""
        try:
            self._stop.end(self._place.keeper.wait)
        finally:
            self._place.observer.close()
            self._at_hand().end()

    def _at_hand(self) -> TrainerLoop:
        if self._loop is None:
            raise BackendError("this hook saw no on_train_begin: hand it to the Trainer before it trains")
        return self._loop


def _logged(state: Any) -> dict[str, float]:
    """Return what was logged at this step: losses, evaluation, learning rate."""
    metrics: dict[str, float] = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        metrics = {**{k: float(v) for k, v in entry.items() if type(v) in (int, float)}, **metrics}
    return {k: v for k, v in metrics.items() if k != "step" and not k.endswith(_TIMES)}
