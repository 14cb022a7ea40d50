"""The configuration: pydantic models loaded from YAML, and the comparison of two of them, field by field."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ckptkit import UsageError

FREE = ("steps", "save_every", "log_every", "eval_episodes")
"""Fields that change when training ends and what it tells, not what it computes: they may change on resume."""

CHANGEABLE = ("optimizer.", "data.state_noise", "policy.execute")
"""Fields, and a group of them, that may be changed in the middle of a run: whatever their value, all state fits."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PolicyConfig(_Model):
    """The network.

    Attributes:
        horizon: actions that are predicted at once.
        execute: how many of them are carried out before the next are predicted.
        hidden: width of the network.
        blocks: residual blocks.
        dropout: in each block.
        diffusion_steps: steps from noise to actions.
    """

    horizon: int = Field(default=8, ge=1, le=1000)
    execute: int = Field(default=4, ge=1, le=1000)
    hidden: int = Field(default=96, ge=2, le=8192, multiple_of=2)
    blocks: int = Field(default=2, ge=1, le=64)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    diffusion_steps: int = Field(default=20, ge=2, le=1000)


class OptimizerConfig(_Model):
    """AdamW and its schedule.

    Attributes:
        learning_rate: after the warm-up.
        weight_decay: of AdamW.
        warmup: steps in which the learning rate rises from nothing.
        decay: factor on the learning rate in each step after that.
    """

    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup: int = Field(default=100, ge=1)
    decay: float = Field(default=0.9995, gt=0, le=1)


class DataConfig(_Model):
    """What a batch is.

    Attributes:
        batch_size: frames in a batch.
        state_noise: noise that is added to each state, in standard deviations of it.
    """

    batch_size: int = Field(default=64, ge=1)
    state_noise: float = Field(default=0.01, ge=0)


class Config(_Model):
    """One training run.

    Attributes:
        seed: of weights, noise and the order of the data.
        steps: length of the run.
        save_every: steps between two checkpoints.
        log_every: steps between two lines of progress.
        eval_episodes: episodes that the policy is tried in at the end.
        policy: the network.
        optimizer: AdamW and its schedule.
        data: what a batch is.
    """

    seed: int = Field(default=42, ge=0, lt=2**32)
    steps: int = Field(default=6000, ge=1, le=10**9)
    save_every: int = Field(default=1000, ge=1)
    log_every: int = Field(default=500, ge=1)
    eval_episodes: int = Field(default=5, ge=0)
    policy: PolicyConfig = PolicyConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    data: DataConfig = DataConfig()


def load_config(path: Path, **changes: Any) -> Config:
    """Return the configuration in a YAML file, with some fields changed.

    Raises:
        UsageError: the file cannot be read, or a field is unknown or impossible; the message names it.
    """
    try:
        fields = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})", hint="give a YAML file with --config") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: is not YAML ({str(error).splitlines()[0]})", hint="see config.yaml") from error
    if not isinstance(fields, dict):
        raise UsageError(f"{path}: does not hold fields", hint="see config.yaml")
    try:
        return Config.model_validate(fields | {name: value for name, value in changes.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {name}: {first['msg']}", hint="see config.yaml for what there is") from error


def differences(saved: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line for each field that is not equal, such as ``policy.hidden: 128 in it, 256 here``."""
    lines = []
    for name in sorted({*saved, *now}):
        there, here = saved.get(name, "nothing"), now.get(name, "nothing")
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            lines += differences(there, here, f"{prefix}{name}.")
        elif there != here and f"{prefix}{name}" not in FREE:
            lines.append(f"{prefix}{name}: {there} in it, {here} here")
    return lines
