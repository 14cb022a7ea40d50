"""The callback of a Hugging Face Trainer. Importing it imports transformers: ``hf`` does so when one is made."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from transformers import TrainerCallback

from ckptkit.backend import Captured
from ckptkit.errors import BackendError
from ckptkit.store.observing import Observer
from ckptkit_hooks import torch_proof
from ckptkit_hooks.hf_loop import FILE_NAME, TrainerLoop
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.sigterm import StopRequest

_ITEM = "trainer"
_TIMES = ("_runtime", "_per_second")


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
        self._observer.note(state.global_step, lambda: loop.noted(others.get("optimizer"), others.get("lr_scheduler")))
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


def _logged(state: Any) -> dict[str, float]:
    """Return what was logged at this step: losses, evaluation, learning rate."""
    metrics: dict[str, float] = {}
    for entry in reversed(state.log_history):
        if entry.get("step") != state.global_step:
            break
        metrics = {**{k: float(v) for k, v in entry.items() if type(v) in (int, float)}, **metrics}
    return {k: v for k, v in metrics.items() if k != "step" and not k.endswith(_TIMES)}
