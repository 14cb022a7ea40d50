"""Model and data loader in one atomic checkpoint: saved together, verified together, restored together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy

from ckptkit import CheckpointStore, NotFoundError, RefusedError, Retain
from openpi_cot.dataloader.cot_data_loader import CoTRLDSDataLoader
from openpi_cot.training.config import TrainConfig
from openpi_cot.training.policy import TrainState

Loaders = CoTRLDSDataLoader | Sequence[CoTRLDSDataLoader]
# What may change between two sittings of one run: how long, how often, how many, where.
_FREE = {"name", "num_train_steps", "save_interval", "keep_last"}


@dataclass(frozen=True, slots=True)
class CheckpointManager:
    """Where the checkpoints of a run go, and what each of them says beside its items.

    Attributes:
        store: of all runs.
        run: name of this run.
        config: of the run; a resume with another one is refused field by field.
        resume: template of the command that goes on.
        replace_newer: whether checkpoints beyond the one that training goes on from are moved to the trash.
    """

    store: CheckpointStore
    run: str
    config: TrainConfig
    resume: Sequence[str] = field(default_factory=tuple)
    replace_newer: bool = False

    def prepare(self, origin: str | None = None) -> None:
        """Make the run ready before the first step, which goes on from ``RUN@STEP`` or starts afresh.

        Raises:
            ConflictError: checkpoints are in the way, and ``replace_newer`` was not asked for.
            StoreError, LockedError: nothing can be saved there, or another process trains this run.
        """
        for moved in self.store.prepare(
            self.run, after=-1 if origin is None else origin, replace_newer=self.replace_newer
        ):
            print(f"moved to the trash: {moved.ref}", flush=True)


def initialize_checkpoint_dir(
    checkpoint_dir: str | Path,
    run: str,
    config: TrainConfig,
    *,
    resume_command: Sequence[str] = (),
    replace_newer: bool = False,
    resume: bool = False,
    step: int | None = None,
) -> tuple[CheckpointManager, bool]:
    """Return the manager and whether there is something to resume; a fresh start is made ready here.

    Args:
        checkpoint_dir: the ckptkit store.
        run: name of the run in it.
        config: of the run.
        resume_command: template of the command that goes on from a checkpoint.
        replace_newer: whether checkpoints in the way are moved to the trash.
        resume: go on from what is there; a run without checkpoints starts afresh.
        step: go on from this one, and from nothing else.

    Raises:
        NotFoundError: there is no checkpoint of that step.
        CkptkitError: see ``CheckpointManager.prepare``.
    """
    manager = CheckpointManager(CheckpointStore(checkpoint_dir), run, config, resume_command, replace_newer)
    folder = Path(checkpoint_dir) / run
    there = [at.step for at in manager.store.storage.scan(run)] if resume and folder.is_dir() else []
    if step is not None and step not in there:
        names = ", ".join(map(str, sorted(there))) or "the run has no checkpoint"
        raise NotFoundError(f"{run}@{step}: is not there", hint=f"in {checkpoint_dir}: {names}")
    resuming = bool(there)
    if not resuming:
        manager.prepare()
    return manager, resuming


def save_state(
    checkpoint_manager: CheckpointManager,
    train_state: TrainState,
    data_loader: Loaders,
    step: int,
    metrics: Mapping[str, float] | None = None,
) -> CheckpointManager:
    """Save model, optimizer, generators and data loader (or those of all hosts) as the checkpoint of a step.

    Raises:
        ValueError: a loader was created with ``persistent_iterator=False``; nothing was saved.
        CkptkitError: see ``CheckpointStore.save``; all older checkpoints are as they were.
    """
    manager = checkpoint_manager
    manager.store.save(
        manager.run,
        step,
        items(train_state, data_loader),
        metrics=metrics,
        config=_config(manager.config, data_loader),
        resume=manager.resume or None,
    )
    policy = Retain(last=manager.config.keep_last)
    manager.store.prune(manager.store.plan_prune(policy, run=manager.run, grace=timedelta(minutes=10)))
    return manager


def restore_state(
    checkpoint_manager: CheckpointManager, train_state: TrainState, data_loader: Loaders, step: int | None = None
) -> TrainState:
    """Put the newest checkpoint that verifies (or just that of a step) back into the live objects.

    Returns:
        The train state, its ``step`` that of the checkpoint.

    Raises:
        ValueError: a loader was created with ``persistent_iterator=False``.
        RefusedError: it is of another config or loader; the message names every field. Nothing was changed.
        NothingResumableError, DamagedError: nothing, or not that step, verifies.
        CkptkitError: see ``CheckpointManager.prepare``.
    """
    manager = checkpoint_manager
    live = items(train_state, data_loader)
    chosen = manager.store.choose(manager.run if step is None else f"{manager.run}@{step}")
    for line in chosen.followed:
        print(line, flush=True)
    for report in chosen.skipped:
        print(f"skipped {report.at.ref}: {report.reason}", flush=True)
    _refuse_other(chosen.at.ref, chosen.manifest.config, _config(manager.config, data_loader))
    # The loaders first: what else could refuse its state is compared before anything of the model is changed.
    ordered = dict(sorted(live.items(), key=lambda pair: pair[0] == "policy"))
    restored = manager.store.restore(chosen.at.ref, into=ordered)
    for warning in restored.warnings if restored else ():
        print(f"note: {warning}")
    train_state.step = chosen.manifest.step
    manager.prepare(chosen.at.ref)
    return train_state


def items(train_state: TrainState, data_loader: Loaders) -> dict[str, Any]:
    """Return the live objects of one checkpoint by item name; each host's loader is an item of its own."""
    policy = Policy(train_state.model, train_state.optimizer, train_state.scheduler)
    data = {f"data-rank{loader.sharding.process_index}": loader.iterator for loader in _all(data_loader)}
    return {"policy": policy, "rng": GlobalRng(), **data}


def _refuse_other(where: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise RefusedError unless both definitions are equal; the message names every field that differs."""
    found = [
        f"{name} {saved.get(name, 'unset')!r} -> {now.get(name, 'unset')!r}"
        for name in sorted({*saved, *now})
        if saved.get(name) != now.get(name)
    ]
    if found:
        raise RefusedError(
            f"{where}: the state belongs to another definition: {'; '.join(found)}",
            hint="use the config of the save, or begin afresh in another folder",
        )


def _config(config: TrainConfig, data_loader: Loaders) -> dict[str, Any]:
    """Return what must be equal to go on, flat, so that a difference has a name."""
    values = config.model_dump(mode="json", exclude={*_FREE, "data"})
    for loader in _all(data_loader):
        values[f"data-rank{loader.sharding.process_index}"] = loader.definition
    return _flat(values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _all(data_loader: Loaders) -> Sequence[CoTRLDSDataLoader]:
    return [data_loader] if isinstance(data_loader, CoTRLDSDataLoader) else data_loader
