"""Named configurations: pydantic models, loaded from configs/NAME.yaml."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """What the data loader reads, and how.

    Attributes:
        data_dir: folder of the datasets; relative to the folder of this example.
        shuffle_by: ``indices`` shuffles the numbers of frames and reads them after that (small checkpoints);
            ``frames`` shuffles a window of frames.
        shuffle_buffer_size: frames in that window.
        prefetch: batches to read ahead; they are in every saved position.
        action_horizon: actions in the chunk that belongs to a frame; the last one is repeated at the episode's end.
        max_token_len: bytes of a language action; the rest is cut off.
    """

    data_dir: Path = Path("data")
    shuffle_by: Literal["indices", "frames"] = "indices"
    shuffle_buffer_size: PositiveInt = 4096
    prefetch: NonNegativeInt = 0
    action_horizon: PositiveInt = 16
    max_token_len: PositiveInt = 24


class ModelConfig(_Strict):
    """The policy: width of its layers, and how much its words count in the loss."""

    width: PositiveInt = 96
    dropout: float = Field(0.1, ge=0, lt=1)
    reasoning_weight: float = Field(0.1, ge=0)


class OptimizerConfig(_Strict):
    """AdamW with a linear warm-up."""

    learning_rate: PositiveFloat = 1e-3
    warmup_steps: PositiveInt = 20


class TrainConfig(_Strict):
    """All of a training run.

    Attributes:
        name: of the configuration.
        seed: of the weights, the dropout and the order of the data.
        batch_size: frames in the batch of each host.
        hosts: how many hosts share the data; ``train.py`` steps them all in one process.
        data: of the loader.
        model: of the policy.
        optimizer: of the training.
        num_train_steps: how long to train.
        save_interval: steps between two checkpoints.
        keep_last: how many checkpoints stay.
    """

    name: str
    seed: NonNegativeInt = 0
    batch_size: PositiveInt = 32
    hosts: PositiveInt = 1
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    num_train_steps: PositiveInt = 120
    save_interval: PositiveInt = 20
    keep_last: PositiveInt = 3

    @property
    def data_dir(self) -> Path:
        """Folder of the datasets, absolute."""
        return (ROOT / self.data.data_dir).resolve()

    def with_(self, **changes: Any) -> "TrainConfig":
        """Return a copy with other values; ``data={"shuffle_by": "frames"}`` changes parts of a part.

        Raises:
            ValueError: a value cannot be; the message names the field.
        """
        values = self.model_dump()
        for name, value in changes.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
        return _validated(values, self.name)


def get_config(name: str) -> TrainConfig:
    """Return the configuration of that name.

    Raises:
        ValueError: there is none, or its file is off; the message names the field.
    """
    path = CONFIGS / f"{name}.yaml"
    known = sorted(p.stem for p in CONFIGS.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"no config {name!r}; there are {', '.join(known)}")
    try:
        return _validated(yaml.safe_load(path.read_bytes()), path.name)
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name}: is not YAML: {str(error).splitlines()[0]}") from error


def _validated(values: Any, name: str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
