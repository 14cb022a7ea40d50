"""ParameterGenerator: draws the parameters of mixtures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_v2.config import MixtureConfig
from gmm_v2.data.utils.random_utils import RandomState


@dataclass(frozen=True, slots=True)
class Mixtures:
    """Parameters of N mixtures of K Gaussians in D dimensions, all float32.

    Attributes:
        means: shape (N, K, D).
        weights: shape (N, K); each row sums to 1.
        scales: standard deviation of all Gaussians of a mixture, in every direction; shape (N,).
    """

    means: Any
    weights: Any
    scales: Any


class ParameterGenerator:
    """Draws means evenly in a cube, weights from a Dirichlet distribution, and widths by the signal-to-noise ratio.

    Args:
        config: of the mixtures.
        seed: of its own stream.
    """

    def __init__(self, config: MixtureConfig, seed: int | None = None) -> None:
        self.config = config
        self.random_state = RandomState(seed)

    def generate(self, count: int) -> Mixtures:
        """Draw the parameters of ``count`` mixtures."""
        config, rng = self.config, self.random_state.rng
        means = rng.uniform(-config.extent, config.extent, (count, config.components, config.dim))
        weights = rng.dirichlet(np.full(config.components, 5.0), count)
        snr_db = rng.uniform(config.snr_db_min, config.snr_db_max, count)
        scales = config.extent * 10.0 ** (-snr_db / 20.0)
        return Mixtures(*(array.astype(np.float32) for array in (means, weights, scales)))

    def get_state(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"random_state": self.random_state.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; raises what ``RandomState.set_state`` raises, and then nothing has changed."""
        if "random_state" in state:
            self.random_state.set_state(state["random_state"])
