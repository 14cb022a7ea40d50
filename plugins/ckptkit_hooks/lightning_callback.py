"""What the callback of Lightning does. Lightning is two packages, so it becomes a callback of either in a subclass."""

import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptkit_files import Written
from ckptkit_numpy import GlobalRng

from ckptkit import Schedule
from ckptkit.backend import Captured
from ckptkit.errors import BackendError
from ckptkit.store.observing import Observer
from ckptkit_hooks import lightning_file, torch_proof
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.lightning_state import FitState
from ckptkit_hooks.sigterm import StopRequest

_LOG = logging.getLogger("ckptkit_hooks")
_ITEM = "trainer"
_FILE = "trainer.ckpt"


class FitCallback:
    """Saves after optimizer steps and epochs; Lightning calls it after all other callbacks."""

    def __init__(
        self,
        keeper: Keeper,
        stop: StopRequest,
        schedule: Schedule,
        observer: Observer,
    ) -> None:
        self._keeper = keeper
        self._observer = observer
        self._ref: str | None = None
        self._stop = stop
        self._schedule = schedule
        self._epoch_began: Mapping[str, Any] | None = None
        self._fetch_began: Mapping[str, Any] | None = None
        self._batches = 0
        self._step = 0
        self._requested: int | None = None
        self._iterator_made = False
        self._resumed: Mapping[str, Any] | None = None
        self._fit: FitState | None = None
        self._said_that_it_waits = False

    @property
    def state_key(self) -> str:
        """Name of this callback's state in Lightning's checkpoint."""
        return "ckptkit"

    def latest(self, ref: str | None = None) -> str | None:
        """Return the ``.ckpt`` of the newest checkpoint that verifies, or None if there is no checkpoint at all.

        Args:
            ref: ``RUN@STEP`` or ``RUN@best``, for one other than the newest.

        Raises:
            NothingResumableError: there are checkpoints, but none that verifies.
        """
        chosen = self._keeper.newest(ref)
        self._ref = None if chosen is None else f"{chosen.at.run}@{chosen.manifest.step}"
        return None if chosen is None else str(chosen.fetched().absolute() / _ITEM / _FILE)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuse what could not be saved; in a rehearsal, leave alone what the live run writes to.

        Raises:
            BackendError: several processes train, or files are written in the background.
        """
        if trainer.world_size > 1:
            raise BackendError(
                f"{trainer.world_size} processes train: this hook saves training of one process only",
                hint="leave the hook out, or train with devices=1",
            )
        if "Async" in type(trainer.strategy.checkpoint_io).__name__:
            raise BackendError(
                f"{type(trainer.strategy.checkpoint_io).__name__} returns before a checkpoint is written",
                hint="leave the plugin out",
            )
        torch_proof.keep_lightning_apart(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return what Lightning's checkpoint lacks, as plain values."""
        return {
            "batches": self._batches,
            "rng": json.dumps(GlobalRng().capture()),
            "epoch_rng": json.dumps(self._epoch_began),
            "fetch_rng": json.dumps(self._fetch_began),
            "attributes": "" if self._fit is None else self._fit.said(middle=self._batches > 0),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember it until training starts."""
        self._resumed = state_dict

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the generators back where they were, and note the attributes of everything set up by now."""
        if self._resumed is not None:
            middle = self._resumed["batches"] > 0
            GlobalRng().restore(json.loads(self._resumed["epoch_rng" if middle else "rng"]))
        self._fit = FitState(trainer, pl_module)
        self._watch_loaders(trainer.fit_loop)

    def _watch_loaders(self, loop: Any) -> None:
        """Get notified when the loaders are built: no hook is called between that and their first iterator."""
        assert self._fit is not None
        fit, ready = self._fit, loop._load_combined_loader_states

        def built() -> None:
            ready()
            resumed = self._resumed
            middle = resumed is not None and resumed["batches"] > 0
            fit.data_ready((resumed or {}).get("attributes") or None, middle=middle)
            if resumed is not None:  # building them may have drawn
                GlobalRng().restore(json.loads(resumed["epoch_rng" if middle else "rng"]))
            self._epoch_began, self._iterator_made = GlobalRng().capture(), True
            fit.data_begins()

        loop._load_combined_loader_states = built

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """In the middle of an epoch, take the batches that were already used; then put the generators back."""
        self._step = trainer.global_step
        self._keeper.prepare(self._step)
        self._stop.watch()
        assert self._fit is not None
        if self._resumed is None:
            self._fit.training_begins(None, middle=False)
            return
        self._batches = self._resumed["batches"]
        if self._batches:
            warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
            fit = trainer.fit_loop
            if not fit._combined_loader._state_dicts():  # else the loader itself has been put back by Lightning
                self._skip(fit._data_fetcher, json.loads(self._resumed["fetch_rng"]))
            self._fetch_began = json.loads(self._resumed["rng"]) if fit._data_fetcher.length is None else None
        if self._ref is not None:
            self._keeper.store.resumed(self._ref)
        self._fit.training_begins(self._resumed.get("attributes") or None, middle=self._batches > 0)
        if self._batches:
            GlobalRng().restore(json.loads(self._resumed["rng"]))
        self._resumed = None

    def _skip(self, fetcher: Any, fetch_rng: Mapping[str, Any] | None) -> None:
        if not hasattr(fetcher, "batches"):
            raise BackendError(
                "training_step takes dataloader_iter: the batches used before cannot be taken again",
                hint="resume from the end of an epoch: latest('RUN@STEP')",
            )
        for number in range(self._batches):
            if number == self._batches - 1 and fetch_rng is not None:
                GlobalRng().restore(fetch_rng)
            next(fetcher)
        fetcher.fetched -= self._batches  # Lightning adds them itself

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the generators before the epoch's iterator is made; that of the first epoch already exists."""
        self._batches = 0
        self._fetch_began = None
        if not self._iterator_made and self._fit is not None:
            self._epoch_began = GlobalRng().capture()
            self._fit.data_begins()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save if it is time and the state is clean: the optimizer has stepped, and no validation follows."""
        self._iterator_made = False
        self._batches = batch_idx + 1
        before, self._step = self._step, trainer.global_step
        if self._step > before and self._fit is not None:
            fit, batches = self._fit, self._batches
            self._observer.note(self._step, lambda: fit.noted(batches))
        due = self._schedule.steps_due(before, self._step)
        self._request(trainer, due)
        # Lightning does not run again, after a resume, the validation that follows a batch.
        clean = self._step > before and not trainer.is_last_batch and (batch_idx + 1) % trainer.val_check_batch
        if self._requested is not None and clean:
            self._save(trainer, "step")
        if trainer.fit_loop._data_fetcher.length is None:  # then Lightning fetches the batch after the next one now
            self._fetch_began = GlobalRng().capture()

    def _request(self, trainer: Any, due: bool) -> None:
        if self._requested is None and (due or self._stop.requested):
            self._requested = trainer.global_step

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Save if it is time, or if a SIGTERM came during validation."""
        self._batches = 0
        due = self._schedule.epochs_due(trainer.current_epoch + 1)
        self._request(trainer, due)
        if self._requested is not None:
            self._save(trainer, "epoch")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Put the previous handler back, and the loaders as they were."""
        self._stop.unwatch()
        self._observer.close()
        if self._fit is not None:
            self._fit.end()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait for the last save, and put the previous handler back, and the loaders as they were."""
        try:
            self._stop.end(self._keeper.wait)
        finally:
            if self._fit is not None:
                self._fit.end()

    def _say_that_it_waits(self, strategy: Any) -> None:
        if not self._keeper.waits and not self._said_that_it_waits:
            self._said_that_it_waits = True
            kinds = f"{type(strategy).__name__}, {type(strategy.checkpoint_io).__name__}"
            _LOG.warning("wait=False: training waits until the file is written, in a way of its own (%s)", kinds)

    def _save(self, trainer: Any, kind: str) -> None:
        step = trainer.global_step
        reasons = [] if self._fit is None else self._fit.reasons(middle=self._batches > 0)
        captured = Captured("partial", reasons) if reasons else Captured()
        with tempfile.TemporaryDirectory(prefix="ckptkit-") as folder:
            file = Path(folder, _FILE)
            content = lightning_file.dumped(trainer, str(file))
            if content is None:
                self._say_that_it_waits(trainer.strategy)
                trainer.save_checkpoint(file)
            counters = {"epoch": trainer.current_epoch, "batches_in_epoch": self._batches}
            written = Written({_FILE: content or file}, captured, step=step, counters=counters)
            boundary = {"kind": kind, "requested_at": self._requested, "saved_at": step}
            self._requested = None
            metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
            name = self._keeper.save(step, {_ITEM: written}, metrics=metrics, counters=counters, boundary=boundary)
        if self._stop.requested:
            self._keeper.wait()
            self._stop.exit(name)
