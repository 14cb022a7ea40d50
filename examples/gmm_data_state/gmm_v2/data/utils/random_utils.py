"""RandomState: a NumPy generator whose state can be saved and restored precisely."""

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ckptkit_numpy import NumpyRngBackend

from ckptkit.backend import LoadContext
from ckptkit.errors import DamagedError
from gmm_v2.data.state import StateMismatchError

_FILE = "state.json"


class RandomState:
    """A reliable wrapper around ``numpy.random.default_rng``.

    The state is NumPy's own dictionary with the seed sequence beside it, so that ``rng.spawn()`` goes on too.

    Args:
        seed: None seeds from the operating system.

    Attributes:
        rng: the generator to draw from; ``set_state`` replaces it.
        seed: what it was seeded with.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.seed = seed
        self._initial_state = self._copy_bit_generator_state(self.rng.bit_generator)

    def get_state(self) -> dict[str, Any]:
        """Return ``bit_generator_state`` and ``seed`` as JSON values; drawing on does not change them."""
        return {"bit_generator_state": self._copy_bit_generator_state(self.rng.bit_generator), "seed": self.seed}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``get_state`` returned. A state without ``bit_generator_state`` changes nothing.

        Raises:
            DamagedError: a field is not what it must be.
            StateMismatchError: it is the state of another type of generator.
        """
        self.go_on(self.generator_in(state), state)

    def generator_in(self, state: Mapping[str, Any]) -> Any:
        """Return a generator in a saved state, which this object does not take on yet; raises as ``set_state``."""
        seed = state.get("seed")
        if seed is not None and (type(seed) is not int or seed < 0):
            raise DamagedError(f"seed: {str(seed)[:40]!r} is not a number")
        if "bit_generator_state" not in state:
            return self.rng
        saved = state["bit_generator_state"]
        name = saved.get("bit_generator") if isinstance(saved, Mapping) else None
        ours = type(self.rng.bit_generator).__name__
        if isinstance(name, str) and name != ours:
            raise StateMismatchError(f"bit_generator: the state is of {name[:40]!r}, this generator is a {ours}")
        return _judged_and_built(saved)

    def go_on(self, generator: Any, state: Mapping[str, Any]) -> None:
        """Take on what ``generator_in`` returned for a state, and the seed that the state says it began with."""
        self.rng = generator
        seed = state.get("seed")
        if seed is not None and seed != self.seed:
            self.seed = seed
            self._initial_state = self._copy_bit_generator_state(np.random.default_rng(seed).bit_generator)

    def reset(self) -> None:
        """Start again where the seed began."""
        self.rng = _judged_and_built(self._initial_state)

    @staticmethod
    def _copy_bit_generator_state(bits: Any) -> dict[str, Any]:
        sequence = bits.seed_seq
        entropy = sequence.entropy
        return {
            **copy.deepcopy(bits.state),
            "seed_seq": {
                "entropy": entropy if entropy is None or isinstance(entropy, int) else [int(word) for word in entropy],
                "spawn_key": [int(word) for word in sequence.spawn_key],
                "pool_size": sequence.pool_size,
                "n_children_spawned": sequence.n_children_spawned,
            },
        }


def _judged_and_built(state: Any) -> Any:
    # NumPy takes what it is given: a damaged state makes it crash, hang or read foreign memory. The backend judges
    # every field in plain Python first. It reads files, so the state is shown to it as one.
    with tempfile.TemporaryDirectory() as folder:
        try:
            (Path(folder) / _FILE).write_text(json.dumps({"bit_generator_state": state}), encoding="utf-8")
        except (TypeError, ValueError) as error:
            raise DamagedError(f"bit_generator_state: {error}") from error
        try:
            loaded = NumpyRngBackend().load(Path(folder), target=None, context=LoadContext([_FILE]))
        except DamagedError as error:
            raise DamagedError(error.message.removeprefix(f"{_FILE}: ")) from error
    return loaded["bit_generator_state"]
