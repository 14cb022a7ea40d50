"""A small diffusion policy: from a state and noise to the next actions; and the processors before and behind it."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from config import PolicyConfig
from dataset import ACTION, STATE
from torch import Tensor, nn

from ckptkit import DamagedError


class DiffusionPolicy(nn.Module):
    """Predicts the noise in a chunk of actions, given the state; acting means taking the noise away step by step.

    Follows "Diffusion Policy" (https://arxiv.org/abs/2303.04137) with a residual network instead of a U-Net, the
    cosine schedule of https://arxiv.org/abs/2102.09672 and the deterministic sampler of https://arxiv.org/abs/2010.02502.

    Args:
        config: sizes.
        state_values: numbers in a state.
        action_values: numbers in an action.
    """

    def __init__(self, config: PolicyConfig, state_values: int, action_values: int) -> None:
        super().__init__()
        self.horizon, self.action_values, self.steps = config.horizon, action_values, config.diffusion_steps
        width = config.hidden
        self.time = nn.Embedding(config.diffusion_steps, width)
        self.state = nn.Sequential(nn.Linear(state_values, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Linear(config.horizon * action_values, width)
        self.blocks = nn.ModuleList(_Block(width, config.dropout) for _ in range(config.blocks))
        self.leave = nn.Linear(width, config.horizon * action_values)
        place = torch.arange(config.diffusion_steps + 1, dtype=torch.float64) / config.diffusion_steps
        kept = torch.cos((place + 0.008) / 1.008 * math.pi / 2) ** 2
        self.register_buffer("kept", (kept / kept[0]).clamp(1e-4, 0.9999)[1:].float())

    def forward(self, noisy: Tensor, time: Tensor, state: Tensor) -> Tensor:
        """Return the noise in the actions.

        Args:
            noisy: (batch, horizon, action values).
            time: how noisy, from 0 to diffusion_steps - 1, int64 of shape (batch,).
            state: (batch, state values), normalized.
        """
        given = self.time(time) + self.state(state)
        hidden = self.enter(noisy.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, given)
        return self.leave(hidden).view_as(noisy)

    def loss(self, state: Tensor, actions: Tensor, inside: Tensor) -> Tensor:
        """Return the mean squared error of the predicted noise, over actions that are inside their episode."""
        time = torch.randint(self.steps, (len(state),))
        noise = torch.randn_like(actions)
        kept = self.kept[time][:, None, None]
        predicted = self(kept.sqrt() * actions + (1 - kept).sqrt() * noise, time, state)
        errors = ((predicted - noise) ** 2).mean(2)
        return (errors * inside).sum() / inside.sum()

    @torch.no_grad()
    def act(self, state: Tensor) -> Tensor:
        """Return actions (batch, horizon, action values), normalized, for normalized states, from fresh noise."""
        actions = torch.randn(len(state), self.horizon, self.action_values)
        for step in reversed(range(self.steps)):
            kept = self.kept[step]
            noise = self(actions, torch.full((len(state),), step), state)
            clean = ((actions - (1 - kept).sqrt() * noise) / kept.sqrt()).clamp(-4, 4)
            before = self.kept[step - 1] if step else torch.tensor(1.0)
            actions = before.sqrt() * clean + (1 - before).sqrt() * noise
        return actions


class _Block(nn.Module):
    """A residual block that what is given scales and shifts."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.given = nn.Linear(width, 2 * width)
        self.inner = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, hidden: Tensor, given: Tensor) -> Tensor:
        scale, shift = self.given(given).chunk(2, 1)
        return hidden + self.inner(self.norm(hidden) * (1 + scale) + shift)


class Processors:
    """Normalizes states and actions before the policy, and puts actions back into their units behind it.

    Args:
        before: content of ``preprocessor_config.json``: ``{"type": "normalize", "features": {"observation.state":
            {"mean": [...], "std": [...]}, "action": {...}}}``.
        behind: content of ``postprocessor_config.json``: ``{"type": "unnormalize", "features": {"action": {"mean",
            "std", "min", "max"}}}``.

    Raises:
        DamagedError: one of them is not of this form, or for other numbers of values.
    """

    def __init__(
        self, before: Mapping[str, Any], behind: Mapping[str, Any], state_values: int, action_values: int
    ) -> None:
        pre, post = "preprocessor_config.json", "postprocessor_config.json"
        self._state = _numbers(before, pre, "normalize", STATE, state_values, ("mean", "std"))
        self._action = _numbers(before, pre, "normalize", ACTION, action_values, ("mean", "std"))
        self._back = _numbers(behind, post, "unnormalize", ACTION, action_values, ("mean", "std", "min", "max"))

    def state(self, values: Tensor) -> Tensor:
        """Return normalized states."""
        return (values - self._state["mean"]) / self._state["std"]

    def actions(self, values: Tensor) -> Tensor:
        """Return normalized actions."""
        return (values - self._action["mean"]) / self._action["std"]

    def back(self, actions: Tensor) -> Tensor:
        """Return actions in their own units, none beyond those that were recorded."""
        own = actions * self._back["std"] + self._back["mean"]
        return torch.minimum(torch.maximum(own, self._back["min"]), self._back["max"])


def processor_configs(
    state: Mapping[str, list[float]], action: Mapping[str, list[float]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the contents of both files for the statistics of a dataset; a value that never changes stays as it is."""

    def scaled(numbers: Mapping[str, list[float]]) -> dict[str, list[float]]:
        return {"mean": numbers["mean"], "std": [v if v > 1e-8 else 1.0 for v in numbers["std"]]}

    before = {"type": "normalize", "features": {STATE: scaled(state), ACTION: scaled(action)}}
    limits = {"min": action["min"], "max": action["max"]}
    return before, {"type": "unnormalize", "features": {ACTION: {**scaled(action), **limits}}}


def _numbers(
    config: Mapping[str, Any], file: str, kind: str, feature: str, count: int, names: tuple[str, ...]
) -> dict[str, Tensor]:
    features = config.get("features")
    found = features.get(feature) if config.get("type") == kind and isinstance(features, Mapping) else None
    if not isinstance(found, Mapping):
        raise DamagedError(f"{file}: is not of the type {kind!r} with {feature!r}", hint="another trainer wrote it?")
    for name in names:
        values = found.get(name)
        plain = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
        if not plain or (name == "std" and not all(v > 0 for v in values)):
            raise DamagedError(f"{file}: {feature}.{name} does not hold usable numbers", hint="restore the file")
        if len(values) != count:
            raise DamagedError(
                f"{file}: {feature}.{name} has {len(values)} values, the dataset {count}",
                hint="is it of another robot?",
            )
    return {name: torch.tensor(found[name], dtype=torch.float32) for name in names}
