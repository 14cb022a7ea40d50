"""ExperimentManager: runs an experiment, saves all of its state as one checkpoint, and resumes it exactly."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckptkit_numpy.state_file import replace_whole

from ckptkit import DamagedError, Files, Ref, UsageError
from gmm_v2.config import ExperimentConfig
from gmm_v2.data.loaders import GMMDataLoader
from gmm_v2.experiment.checkpoints import get_latest_checkpoint, ref_of, run_of, store_of
from gmm_v2.training.trainer import Trainer

_VALIDATION_SEED = 1  # beside the seed of the training data
_NOTED_STEPS = 4


class ExperimentManager:
    """Trains in a folder: ``data_state.json``, ``validation_state.json`` and ``checkpoints/step-N/``.

    Each checkpoint holds copies of the two state files, made at the same step as the weights. When they differ from
    those beside it (a job that died between the two), the copies are right.

    Args:
        config: of the experiment.
        experiment_dir: its folder.
        resume_command: argument list that resumes it, for ``ckptkit resume-cmd``; fields such as ``{step}``.
        say: takes one line of progress at a time.
        replace_newer: move checkpoints beyond the one that training goes on from to the trash.

    Raises:
        UsageError: the folder's name cannot be that of a run.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        experiment_dir: Path,
        resume_command: list[str] | None = None,
        say: Callable[[str], None] = print,
        *,
        replace_newer: bool = False,
    ) -> None:
        self.config = config
        self.experiment_dir = experiment_dir.absolute()
        Ref.parse(run_of(self.checkpoint_dir))  # a folder whose name cannot be a run's is refused before any work
        self.resume_command = resume_command
        self.trainer = Trainer(config)
        self.train_loader: GMMDataLoader | None = None
        self.validation_loader: GMMDataLoader | None = None
        self._say = say
        self._store = store_of(self.checkpoint_dir)
        self._run = run_of(self.checkpoint_dir)
        self._replace_newer = replace_newer
        self._saved_at = -1
        self._observer: Any = None  # made when the folder is ready

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of the checkpoints."""
        return self.experiment_dir / "checkpoints"

    def start(self) -> None:
        """Make the loaders of a new experiment.

        Raises:
            CkptkitError: see ``CheckpointStore.prepare``.
        """
        self._prepare(-1)
        self._make_loaders(resume=False)

    def _prepare(self, after: int | str) -> None:
        for moved in self._store.prepare(self._run, after=after, replace_newer=self._replace_newer):
            self._say(f"moved to the trash: {moved.ref}")
        # What this run does after a checkpoint is noted; what a resumed run does is held against it.
        self._observer = self._store.observe(self._run, steps=_NOTED_STEPS, note_after="every")

    def resume_training(self, num_epochs: int | None = None, *, step: int | None = None) -> dict[str, Any]:
        """Resume training from the latest checkpoint that verifies, or from the one of a step.

        Args:
            num_epochs: epochs of the whole run; the configuration's when left out.
            step: of the checkpoint. Then the checkpoint is all that is needed, wherever it was copied to; without it
                the experiment's folder must be whole.

        Returns:
            What ``run`` returns.

        Raises:
            FileNotFoundError: there are no checkpoints, or no data state file.
            NotFoundError: there is none of that step.
            StateMismatchError: the checkpoint is of another configuration.
            CkptkitError: nothing verifies, or it does not fit.
        """
        _require_epochs(num_epochs)
        latest_checkpoint = self._checkpoint(step)
        if latest_checkpoint is None:
            nothing = FileNotFoundError(f"No checkpoints found in {self.checkpoint_dir}")
            for one in self._store.unlisted(self._run):
                nothing.add_note(
                    f"{one.paths[-1].name} has no manifest: load the model from it yourself, and the data with "
                    "GMMDataLoader(config_dict, state_path=..., resume=True)"
                )
            raise nothing
        state_path = self.experiment_dir / "data_state.json"
        if step is None and not state_path.exists():
            error = FileNotFoundError(f"Data state file not found: {state_path}")
            number = int(latest_checkpoint.name.rpartition("-")[2])
            error.add_note(f"the checkpoint holds a copy: name its step to go on from it alone (--resume {number})")
            raise error
        self.trainer._load_checkpoint(latest_checkpoint)
        self._prepare(ref_of(latest_checkpoint))
        for name, path in self._state_files().items():
            copy = latest_checkpoint / name / path.name
            if not copy.exists():
                raise FileNotFoundError(f"Data state file not found: {copy}")
            replace_whole(path, copy.read_bytes())
        self._make_loaders(resume=True)
        self._require_same_streams(latest_checkpoint)
        self._saved_at = self.trainer.step
        self._say(f"resumed {ref_of(latest_checkpoint)}")
        return self.run(num_epochs)

    def run(self, num_epochs: int | None = None) -> dict[str, Any]:
        """Train to the end, saving a checkpoint every ``save_every`` steps and at the end.

        Returns:
            ``step``, ``loss`` (of the last batch, None if there was none), ``excess`` and ``digest``.
        """
        _require_epochs(num_epochs)
        if self.train_loader is None:
            self.start()
        assert self.train_loader is not None
        assert self.validation_loader is not None
        epochs = num_epochs or self.config.training_config.num_epochs
        loss: float | None = None
        if self.train_loader.current_epoch >= epochs:
            self._say(f"nothing is left to do: epoch {self.train_loader.current_epoch} of {epochs}")
        while self.train_loader.current_epoch < epochs:
            for data, targets in self.train_loader:
                loss = self.trainer.train_step(data, targets)
                if proof := self._observer.note(self.trainer.step, self._live_items):
                    self._say(
                        f"step {self.trainer.step:5d}  since the checkpoint: {proof.verdict} {proof.reason or ''}"
                    )
                if self.trainer.step % self.config.training_config.save_every == 0:
                    self.save(loss)
        if self._saved_at != self.trainer.step:
            self.save(loss)
        excess = self.trainer.excess(self.validation_loader)
        return {"step": self.trainer.step, "loss": loss, "excess": excess, "digest": self.digest()}

    def save(self, loss: float | None = None) -> Path:
        """Save everything as one checkpoint and return its folder."""
        assert self.train_loader is not None
        assert self.validation_loader is not None
        excess = self.trainer.excess(self.validation_loader)
        files = self._state_files()
        self.train_loader.save_state(files["data"])
        self.validation_loader.save_state(files["validation"])
        committed = self._store.save(
            self._run,
            self.trainer.step,
            {**self._live_items(), **{name: Files(path, "numpy-rng") for name, path in files.items()}},
            metrics={"excess": excess} if loss is None else {"loss": loss, "excess": excess},
            counters={"epoch": self.train_loader.current_epoch, "batch": self.train_loader.current_batch},
            config=self.config.model_dump(mode="json"),
            resume=self.resume_command,
        )
        self._saved_at = self.trainer.step
        self._say(f"step {self.trainer.step:5d}  excess {excess:.4f}  saved {committed.path.name}")
        return committed.path

    def digest(self) -> str:
        """Return a digest of everything that training goes on with: weights, optimizer, counters, and data to come."""
        import torch

        assert self.train_loader is not None
        position = (self.train_loader.current_epoch, self.train_loader.current_batch)
        hasher = hashlib.sha256(f"{self.trainer.digest()} {position}".encode())
        for data, _ in self.train_loader:
            hasher.update(data.tobytes())
        hasher.update(torch.rand(8).numpy().tobytes())
        return hasher.hexdigest()

    def _checkpoint(self, step: int | None) -> Path | None:
        if step is None or not self.checkpoint_dir.is_dir():
            return get_latest_checkpoint(self.checkpoint_dir)
        return self._store.choose(f"{self._run}@{step}").at.folder

    def _state_files(self) -> dict[str, Path]:
        return {
            "data": self.experiment_dir / "data_state.json",
            "validation": self.experiment_dir / "validation_state.json",
        }

    def _make_loaders(self, *, resume: bool) -> None:
        training, files = self.config.training_config, self._state_files()
        self.train_loader = GMMDataLoader(
            config_dict=self.config.data_config,
            batch_size=training.batch_size,
            num_samples=training.samples_per_epoch,
            seed=training.seed,
            state_path=files["data"],
            resume=resume,
            fixed_data=training.fixed_data,
            loader_id="train",
        )
        self.validation_loader = GMMDataLoader(
            config_dict=self.config.data_config,
            batch_size=training.validation_samples,
            num_samples=training.validation_samples,
            seed=training.seed + _VALIDATION_SEED,
            state_path=files["validation"],
            resume=resume,
            fixed_data=True,
            loader_id="validation",
        )

    def _live_items(self) -> dict[str, Any]:
        return {**self.trainer.items(), "streams": self._streams()}

    def _streams(self) -> dict[str, Any]:
        assert self.train_loader is not None
        assert self.validation_loader is not None
        return {"train": self.train_loader.generators(), "validation": self.validation_loader.generators()}

    def _require_same_streams(self, checkpoint: Path) -> None:
        """Compare what the loaders go on with, and what ckptkit has proven: two records of one thing."""
        restored = store_of(self.checkpoint_dir).restore(ref_of(checkpoint), into={"streams": None})
        assert restored is not None  # only with missing_ok
        for loader, streams in self._streams().items():
            for name, stream in streams.items():
                if stream.bit_generator.state != restored.items["streams"][loader][name].bit_generator.state:
                    raise DamagedError(f"{ref_of(checkpoint)}: {loader}.{name}: the state file and the streams differ")


def _require_epochs(num_epochs: int | None) -> None:
    if num_epochs is not None and num_epochs < 1:
        raise UsageError(f"num_epochs {num_epochs} is not at least 1", hint="it is the number of the whole run")
