"""DataGenerator: draws points from mixtures, anew for each batch or once for a set that is kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ckptkit_numpy.state_file import unpack_array

from ckptkit import DamagedError
from gmm_v2.data.core.parameter_generator import Mixtures, ParameterGenerator
from gmm_v2.data.state import StateMismatchError
from gmm_v2.data.utils.random_utils import RandomState

Batch = tuple[Any, dict[str, Any]]
"""Points as float32 (N, points, D); targets: ``labels`` int64 (N, points), ``means``, ``weights``, ``scales``."""


class DataGenerator:
    """Draws sets of points from the mixtures that a ParameterGenerator draws.

    Args:
        param_generator: where the mixtures come from. Its state is part of this generator's state.
        seed: of its own stream.
    """

    def __init__(self, param_generator: ParameterGenerator, seed: int | None = None) -> None:
        self.param_generator = param_generator
        self.random_state = RandomState(seed)
        self._cached_data: Any = None
        self._cached_labels: Any = None
        self._cached_mixtures: Mixtures | None = None
        self._cached_batch_size = 0

    def generate(self, count: int) -> Batch:
        """Draw ``count`` new mixtures, and the points of each."""
        points, labels, mixtures = self._draw(count)
        return points, _targets(labels, mixtures)

    def cache(self, num_samples: int, batch_size: int) -> None:
        """Draw a set once and keep it, for ``cached_batch``."""
        self._cached_data, self._cached_labels, self._cached_mixtures = self._draw(num_samples)
        self._cached_batch_size = batch_size

    def cached_batch(self, index: int) -> Batch:
        """Return copies of a batch of the kept set: whoever changes them does not change the next epoch."""
        assert self._cached_mixtures is not None, "cache() comes first"
        kept = self._cached_mixtures
        rows = slice(index * self._cached_batch_size, (index + 1) * self._cached_batch_size)
        part = Mixtures(kept.means[rows].copy(), kept.weights[rows].copy(), kept.scales[rows].copy())
        return self._cached_data[rows].copy(), _targets(self._cached_labels[rows].copy(), part)

    def get_state(self) -> dict[str, Any]:
        """Return the state, with the kept set as arrays."""
        state: dict[str, Any] = {
            "random_state": self.random_state.get_state(),
            "param_generator_state": self.param_generator.get_state(),
        }
        if self._cached_mixtures is not None:
            state["cached_data"] = {
                "data": self._cached_data,
                "labels": self._cached_labels,
                "means": self._cached_mixtures.means,
                "weights": self._cached_mixtures.weights,
                "scales": self._cached_mixtures.scales,
                "batch_size": self._cached_batch_size,
            }
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: all of it, or nothing when something is wrong with it.

        Raises:
            DamagedError: a field is not valid.
            StateMismatchError: another type of generator, or the kept set is not one of this configuration.
        """
        own, parameters = state.get("random_state", {}), state.get("param_generator_state", {})
        drawn = parameters.get("random_state", {}) if isinstance(parameters, Mapping) else None
        if not isinstance(own, Mapping) or not isinstance(drawn, Mapping):
            raise DamagedError("a random_state or param_generator_state is not an object")
        streams = ((self.random_state, own), (self.param_generator.random_state, drawn))
        built = [stream.generator_in(part) for stream, part in streams]
        cached = self._judged(state["cached_data"]) if "cached_data" in state else None
        for (stream, part), generator in zip(streams, built, strict=True):
            stream.go_on(generator, part)
        if cached is not None:
            self._cached_data, self._cached_labels, self._cached_mixtures, self._cached_batch_size = cached

    def _draw(self, count: int) -> tuple[Any, Any, Mixtures]:
        config, rng = self.param_generator.config, self.random_state.rng
        mixtures = self.param_generator.generate(count)
        # Where a uniform number falls among the summed weights is the component that a point comes from.
        edges = np.cumsum(mixtures.weights[:, None, :-1], axis=-1)
        labels = (rng.random((count, config.points, 1)) > edges).sum(axis=-1, dtype=np.int64)
        centres = np.take_along_axis(mixtures.means, labels[:, :, None], axis=1)
        noise = rng.standard_normal((count, config.points, config.dim), dtype=np.float32)
        return centres + noise * mixtures.scales[:, None, None], labels, mixtures

    def _judged(self, cached: Any) -> tuple[Any, Any, Mixtures, int]:
        names = ("data", "labels", "means", "weights", "scales")
        if not isinstance(cached, Mapping) or set(cached) != {*names, "batch_size"}:
            raise DamagedError(f"cached_data: is not an object of {', '.join(names)} and batch_size")
        if type(cached["batch_size"]) is not int or cached["batch_size"] < 1:
            raise DamagedError(f"cached_data.batch_size: {str(cached['batch_size'])[:40]} is not a count")
        config = self.param_generator.config
        arrays = {name: unpack_array(cached[name], f"cached_data.{name}") for name in names}
        count = len(arrays["data"]) if arrays["data"].ndim else 0
        wanted = {
            "data": (np.dtype(np.float32), (count, config.points, config.dim)),
            "labels": (np.dtype(np.int64), (count, config.points)),
            "means": (np.dtype(np.float32), (count, config.components, config.dim)),
            "weights": (np.dtype(np.float32), (count, config.components)),
            "scales": (np.dtype(np.float32), (count,)),
        }
        for name, (dtype, shape) in wanted.items():
            if (arrays[name].dtype, arrays[name].shape) != (dtype, shape):
                raise StateMismatchError(
                    f"cached_data.{name}: {arrays[name].dtype} {arrays[name].shape} there, {dtype} {shape} here"
                )
        mixtures = Mixtures(arrays["means"], arrays["weights"], arrays["scales"])
        return arrays["data"], arrays["labels"], mixtures, cached["batch_size"]


def _targets(labels: Any, mixtures: Mixtures) -> dict[str, Any]:
    return {"labels": labels, "means": mixtures.means, "weights": mixtures.weights, "scales": mixtures.scales}
