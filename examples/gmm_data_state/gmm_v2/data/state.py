"""What the state of a loader is made of beside generators: its counters and settings, and arrays with their dtype."""

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from ckptkit.errors import DamagedError
from gmm_v2.config import differences, fields_of

_DTYPES = {np.dtype(name).str for name in ("?", "i1", "u1")} | {
    order + name for order in "<>" for name in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}


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


def pack_array(array: Any) -> dict[str, Any]:
    """Return an array as JSON values: dtype and shape in words, the bytes as base64.

    A nested list would forget both: float32 comes back as float64, and a shape of (0, 3) as (0,).

    Raises:
        TypeError: its dtype is not a plain number.
    """
    if array.dtype.str not in _DTYPES:
        raise TypeError(f"an array of dtype {array.dtype} cannot be written to a state file")
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "base64": base64.b64encode(array.tobytes()).decode("ascii"),
    }


def unpack_array(value: Any, where: str) -> Any:
    """Return the array that ``pack_array`` wrote; an array is returned as it is.

    Raises:
        DamagedError: it is something else, or has more or fewer bytes than its shape; the message names the place.
    """
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Mapping) or set(value) != {"dtype", "shape", "base64"}:
        raise DamagedError(f"{where}: is not an array with its dtype and shape")
    dtype, shape, text = value["dtype"], value["shape"], value["base64"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamagedError(f"{where}.dtype: {str(dtype)[:40]!r} is not the dtype of plain numbers")
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise DamagedError(f"{where}.shape: {str(shape)[:60]} is not a shape")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise DamagedError(f"{where}.base64: is not base64 text") from error
    expected = math.prod(shape) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise DamagedError(f"{where}: has {len(data)} bytes, its dtype and shape need {expected}")
    return np.frombuffer(data, dtype).reshape(shape).copy()
