"""The configuration: pydantic models, loaded from YAML, with every unknown or impossible field refused by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ckptkit import UsageError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MixtureConfig(_Model):
    """The mixtures that are generated.

    Attributes:
        dim: dimension of the space that the points lie in.
        components: Gaussians in each mixture.
        points: points drawn from each mixture; one such set is one sample of the loader.
        extent: the means lie in a cube from -extent to extent.
        snr_db_min: least ratio of the extent to the width of a Gaussian, in decibels.
        snr_db_max: largest one; each mixture draws its own between the two.
    """

    dim: int = Field(default=2, ge=1, le=64)
    components: int = Field(default=3, ge=1, le=64)
    points: int = Field(default=64, ge=1, le=100_000)
    extent: float = Field(default=3.0, gt=0)
    snr_db_min: float = 15.0
    snr_db_max: float = 25.0

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.snr_db_min > self.snr_db_max:
            raise ValueError(f"snr_db_min {self.snr_db_min} is more than snr_db_max {self.snr_db_max}")
        return self


class TrainingConfig(_Model):
    """The training.

    Attributes:
        batch_size: samples in a batch.
        samples_per_epoch: samples in an epoch.
        num_epochs: epochs of the whole run.
        fixed_data: generate one epoch upfront and use it again in each epoch, instead of new data all the time.
        validation_samples: samples of the validation set, which is always fixed.
        seed: of the weights, of dropout, and of the training data; validation data has its own beside it.
        learning_rate: of AdamW at the first step.
        decay: factor on the learning rate after each step.
        hidden: width of the network.
        dropout: in the network.
        em_steps: steps of expectation maximisation inside the network.
        save_every: steps between two checkpoints.
    """

    batch_size: int = Field(default=16, ge=1)
    samples_per_epoch: int = Field(default=1000, ge=1)
    num_epochs: int = Field(default=10, ge=1)
    fixed_data: bool = False
    validation_samples: int = Field(default=64, ge=1)
    seed: int = Field(default=42, ge=0, lt=2**53)
    learning_rate: float = Field(default=3e-3, gt=0)
    decay: float = Field(default=0.999, gt=0, le=1)
    hidden: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    em_steps: int = Field(default=2, ge=0, le=100)
    save_every: int = Field(default=100, ge=1)


class ExperimentConfig(_Model):
    """Everything that an experiment is defined by."""

    data_config: MixtureConfig = MixtureConfig()
    training_config: TrainingConfig = TrainingConfig()


_MAY_CHANGE = frozenset({"training_config.num_epochs", "training_config.save_every"})


def load_config(path: Path) -> ExperimentConfig:
    """Read a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it is not YAML, or a field is unknown or impossible; the message names the fields.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Configuration not found: {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return ExperimentConfig.model_validate({} if content is None else content)
    except ValidationError as error:
        raise UsageError(f"{path}: {fields_of(error)}", hint="config.yaml shows all fields") from error


def fields_of(error: ValidationError) -> str:
    """Return a validation error as one line: each field, and what is wrong with it."""
    return "; ".join(".".join(map(str, e["loc"])) + (": " if e["loc"] else "") + e["msg"] for e in error.errors())


def differences(saved: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return one line per field in which two configurations differ (``dim: 2 there, 3 here``), nested ones by path."""
    then, now = _flat(saved), _flat(here)
    return [
        f"{name}: {then.get(name, 'nothing')} there, {now.get(name, 'nothing')} here"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def differences_that_matter(saved: Mapping[str, Any], here: ExperimentConfig) -> list[str]:
    """Return where a checkpoint's configuration differs, but for what a resumed run may choose anew."""
    found = differences(saved, here.model_dump(mode="json"))
    return [line for line in found if line.partition(":")[0] not in _MAY_CHANGE]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flat(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat
