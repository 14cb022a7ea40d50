"""The configuration: one pydantic model, put together from a checkpoint, a YAML file and the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ckptkit import RefusedError, UsageError

MODES = {"quick": 8_000, "full": 1_000_000}
"""Timesteps of each mode, where ``total_timesteps`` does not say otherwise."""
FREE = frozenset({
    "mode",
    "total_timesteps",
    "learning_rate",
    "checkpoint_interval_episodes",
    "keep_last_n_checkpoints",
    "trash_hours",
    "checkpoint_dir",
})  # fmt: skip
"""Fields that may be another when a training is resumed; the others say what agent it is, in what environment."""
NOT_INHERITED = frozenset({"run_id", "resume_from_checkpoint"})
"""Fields of one run, which the run that goes on from it does not take over."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class ConfigMismatchError(RefusedError):
    """The checkpoint is of another agent or environment than was asked for."""


class TrainingConfig(BaseModel):
    """Everything that a training is defined by.

    Attributes:
        mode: ``quick`` for a trial, ``full`` for the real thing; sets ``total_timesteps``.
        total_timesteps: of the whole training, not of what is left of it after a resume.
        checkpoint_interval_episodes: episodes between two checkpoints; 0 saves only at the end.
        keep_last_n_checkpoints: how many of the newest that verify are kept.
        trash_hours: how long ``ckptkit undelete`` can take a removed one back.
        checkpoint_dir: where ``<agent_id>/<run_id>/`` lie.
        resume_from_checkpoint: zip of the checkpoint to go on from.
        learning_rate: of the optimizer, constant.
        algorithm: of Stable-Baselines3.
        env_id: registered with gymnasium.
        n_envs: environments side by side, in one process.
        seed: of everything.
        agent_kwargs: further arguments of the algorithm's constructor; plain JSON values.
        agent_id: first folder; ``ppo_agent`` for PPO when left out.
        run_id: second folder; a new UUID when left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mode: Literal["quick", "full"] = "quick"
    total_timesteps: int = Field(default=MODES["quick"], ge=1)
    checkpoint_interval_episodes: int = Field(default=50, ge=0)
    keep_last_n_checkpoints: int = Field(default=3, ge=1)
    trash_hours: float = Field(default=24.0, ge=0, le=24 * 365)
    checkpoint_dir: Annotated[str, Field(min_length=1)] = "checkpoints"
    resume_from_checkpoint: str | None = None
    learning_rate: float = Field(default=3e-4, gt=0)
    algorithm: Literal["ppo", "a2c", "dqn", "sac"] = "ppo"
    env_id: str = "CartPole-v1"
    n_envs: int = Field(default=1, ge=1, le=256)
    seed: int = Field(default=0, ge=0, lt=2**31)
    agent_kwargs: dict[str, Any] = {}
    agent_id: Name | None = None
    run_id: Name | None = None

    def saved(self) -> dict[str, Any]:
        """Return what the metadata of a checkpoint says of it: all that another run can take over."""
        return self.model_dump(mode="json", exclude=set(NOT_INHERITED))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the fields of a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it is no table of fields.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Configuration not found: {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if content is not None and not isinstance(content, dict):
        raise UsageError(f"{path}: is no table of fields", hint="config.yaml shows all of them")
    return content or {}


def combined(saved: Mapping[str, Any], *chosen: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration of a run.

    Args:
        saved: of the checkpoint that it goes on from, or nothing.
        chosen: what a person asked for, the weaker first: YAML file, command line.

    Raises:
        UsageError: a field is unknown or impossible; the message names it.
        ConfigMismatchError: what was asked for does not fit the checkpoint; the message names every field.
    """
    fields = {name: value for name, value in saved.items() if name not in NOT_INHERITED}
    for layer in chosen:
        if layer.get("mode") in MODES and "total_timesteps" not in layer:
            fields["total_timesteps"] = MODES[layer["mode"]]
        fields.update(layer)
    config = _validated(fields)
    if saved:
        _require_same_agent(_validated(dict(saved)), config)
    if config.agent_id is None:
        config = config.model_copy(update={"agent_id": f"{config.algorithm}_agent"})
    return config


def _validated(fields: Mapping[str, Any]) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate(fields)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UsageError("; ".join(lines), hint="config.yaml shows all fields") from error


def _require_same_agent(saved: TrainingConfig, config: TrainingConfig) -> None:
    there, here = saved.saved(), config.saved()
    lines = [f"{n}: {there[n]!r} there, {here[n]!r} here" for n in there if n not in FREE and there[n] != here[n]]
    if lines:
        raise ConfigMismatchError(
            f"the checkpoint is of another training: {'; '.join(lines)}",
            hint=f"leave them out, or start afresh; a resumed training may change {', '.join(sorted(FREE))}",
        )
