"""Build generators from a seed, and write and read the state file that they go on from."""

from pathlib import Path
from typing import Any

import numpy as np
from ckptkit_numpy.state_file import NumpyEncoder, read_state, write_state

from ckptkit import DamagedError
from gmm_v2.config import MixtureConfig
from gmm_v2.data.core import DataGenerator, ParameterGenerator
from gmm_v2.data.state import LoaderState

__all__ = ["NumpyEncoder", "create_generators", "load_generator_state", "save_generator_state"]

_PARTS = ("param_generator_state", "data_generator_state")


def create_generators(config: MixtureConfig, seed: int | None = None) -> tuple[ParameterGenerator, DataGenerator]:
    """Return the two generators of a loader; the data's stream is derived from the seed, not the same one again."""
    derived = None if seed is None else int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
    param_generator = ParameterGenerator(config, seed)
    return param_generator, DataGenerator(param_generator, derived)


def save_generator_state(
    param_generator: ParameterGenerator,
    data_generator: DataGenerator,
    file_path: str | Path,
    loader_state: LoaderState | None = None,
) -> dict[str, Any]:
    """Write the state of both generators to a JSON file, with a digest; it is replaced as a whole or not at all.

    Args:
        param_generator: where mixtures come from.
        data_generator: where points come from. If it draws from the same parameter generator, that state is written
            once.
        file_path: the file.
        loader_state: counters and settings of the loader around them.

    Returns:
        The state that was written; ``load_generator_state`` returns an equal one.

    Raises:
        UsageError: it is larger than a state file that is read back may be.
    """
    data_state = data_generator.get_state()
    if data_generator.param_generator is param_generator:
        del data_state["param_generator_state"]
    state: dict[str, Any] = {"param_generator_state": param_generator.get_state(), "data_generator_state": data_state}
    if loader_state is not None:
        state["loader_state"] = loader_state.model_dump()
    write_state(file_path, state)
    return state


def load_generator_state(file_path: str | Path) -> dict[str, Any]:
    """Read a state file; every field of the generators is judged before NumPy sees it.

    A file without a digest, which an older program wrote, is read with a warning.

    Returns:
        The state, with arrays as arrays.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is truncated or changed, is not a state file, or a field is not valid; names file
            and field.
    """
    path = Path(file_path)
    if not path.is_file():
        raise FileNotFoundError(f"Data state file not found: {file_path}")
    state = read_state(path)
    if not all(isinstance(state.get(part), dict) for part in _PARTS):
        raise DamagedError(f"{path.name}: is not the state of a loader (it needs {' and '.join(_PARTS)})")
    for part in _PARTS:
        stream = state[part].get("random_state")
        if not isinstance(stream, dict) or "bit_generator_state" not in stream:
            raise DamagedError(f"{path.name}: {part}.random_state: holds no bit_generator_state")
    try:
        if "loader_state" in state:
            LoaderState.parse(state["loader_state"])
    except DamagedError as error:
        raise DamagedError(f"{path.name}: {error.message}") from error
    return state
