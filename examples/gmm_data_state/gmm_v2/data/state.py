"""What the state of a loader says beside generators and arrays: its counters and settings."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from ckptkit import DamagedError
from gmm_v2.config import differences, fields_of


class StateMismatchError(ValueError):
    """The state is whole, but it is not one of this loader: another type, other settings, or other generators."""


class LoaderState(BaseModel):
    """What a ``GMMDataLoader`` writes beside its generators: where it is, and what it was built with.

    Attributes:
        loader: class of the loader.
        loader_id: its name, so that a validation loader does not go on from the state of a training loader.
        fixed_data: its mode.
        batch_size: samples in a batch.
        num_samples: samples in an epoch.
        current_epoch: epochs that are over.
        current_batch: batches of this epoch that were handed out.
        seed: what it was seeded with.
        config: of the mixtures.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    loader: str
    loader_id: str
    fixed_data: bool
    batch_size: PositiveInt
    num_samples: PositiveInt
    current_epoch: NonNegativeInt
    current_batch: NonNegativeInt
    seed: int | None
    config: dict[str, Any]

    @classmethod
    def parse(cls, value: Any) -> "LoaderState":
        """Judge a value; raises DamagedError naming the fields."""
        try:
            state = cls.model_validate(value)
        except ValidationError as error:
            raise DamagedError(f"loader_state: {fields_of(error)}") from error
        batches = -(-state.num_samples // state.batch_size)
        if state.current_batch > batches:
            raise DamagedError(f"loader_state: current_batch {state.current_batch} of {batches} batches in an epoch")
        return state

    def refuse_other(self, here: "LoaderState") -> None:
        """Raise StateMismatchError, field by field, unless the state is one of the loader that ``here`` is of."""
        free = {"current_epoch", "current_batch", "seed"}
        found = differences(self.model_dump(exclude=free), here.model_dump(exclude=free))
        if found:
            raise StateMismatchError(f"the state is of another loader: {'; '.join(found)}")


def settings_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a state that a loader may leave to it; empty where it has none."""
    if "loader_state" not in state:
        return {}
    return LoaderState.parse(state["loader_state"]).model_dump(
        include={"loader_id", "fixed_data", "batch_size", "num_samples"}
    )
