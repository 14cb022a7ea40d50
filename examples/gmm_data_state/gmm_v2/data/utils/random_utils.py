"""RandomState: a NumPy generator whose state can be saved and restored precisely."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from ckptkit_numpy.state_file import generator_from

from ckptkit import DamagedError
from gmm_v2.data.state import StateMismatchError


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
            DamagedError: a field is not valid.
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
        return generator_from(saved)

    def go_on(self, generator: Any, state: Mapping[str, Any]) -> None:
        """Take on what ``generator_in`` returned for a state, and the seed that the state says it began with."""
        self.rng = generator
        seed = state.get("seed")
        if seed is not None and seed != self.seed:
            self.seed = seed
            self._initial_state = self._copy_bit_generator_state(np.random.default_rng(seed).bit_generator)

    def reset(self) -> None:
        """Start again where the seed began."""
        self.rng = generator_from(self._initial_state)

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
