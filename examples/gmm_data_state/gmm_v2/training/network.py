"""A network that looks at a set of points and tells the mixture they were drawn from, and how well it fits."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from gmm_v2.config import MixtureConfig


class MixtureNetwork(nn.Module):
    """Predicts means, weights and width of a mixture from points in any order.

    A deep set makes a first guess, and some steps of expectation maximisation, through which gradients flow, mend it:
    the network learns where EM should start.

    Args:
        config: of the mixtures.
        hidden: width of the layers.
        dropout: after the first layer of the head.
        em_steps: steps of expectation maximisation.
    """

    def __init__(self, config: MixtureConfig, hidden: int, dropout: float, em_steps: int) -> None:
        super().__init__()
        self.em_steps = em_steps
        self.components, self.dim, self.extent = config.components, config.dim, config.extent
        self.point = nn.Sequential(nn.Linear(config.dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        outputs = config.components * (config.dim + 1) + 1
        self.head = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def forward(self, points: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``means`` (B, K, D), ``weights`` (B, K) and ``scales`` (B,) for points (B, N, D)."""
        each = self.point(points / self.extent)
        out = self.head(torch.cat([each.mean(dim=1), each.amax(dim=1)], dim=-1))
        split = self.components * self.dim
        means = out[:, :split].reshape(-1, self.components, self.dim) * self.extent
        scales = self.extent * torch.exp(out[:, -1].clamp(-5.0, 2.0) - 1.0)
        mixture = {"means": means, "weights": torch.softmax(out[:, split:-1], dim=-1), "scales": scales}
        for _ in range(self.em_steps):
            mixture = improved(points, mixture)
        return mixture


def improved(points: torch.Tensor, mixture: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mixtures after one step of expectation maximisation, with a little mass in each Gaussian kept."""
    share = torch.softmax(_log_joint(points, mixture), dim=-1) + 1e-3
    mass = share.sum(dim=1)
    means = torch.einsum("bnk,bnd->bkd", share, points) / mass[:, :, None]
    spread = (share * _squares(points, means)).sum(dim=(1, 2)) / mass.sum(dim=1) / points.shape[-1]
    return {"means": means, "weights": mass / mass.sum(dim=1, keepdim=True), "scales": torch.sqrt(spread + 1e-6)}


def negative_log_likelihood(points: torch.Tensor, mixture: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean of -log p(point), in nats per point, for points (B, N, D) under one mixture per set."""
    return -torch.logsumexp(_log_joint(points, mixture), dim=-1).mean()


def _log_joint(points: torch.Tensor, mixture: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return log p(point and component), shape (B, N, K)."""
    scales = mixture["scales"][:, None, None]
    width = points.shape[-1] * (torch.log(scales) + 0.5 * math.log(2.0 * math.pi))
    return torch.log(mixture["weights"])[:, None, :] - 0.5 * _squares(points, mixture["means"]) / scales**2 - width


def _squares(points: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    return ((points[:, :, None, :] - means[:, None, :, :]) ** 2).sum(dim=-1)
