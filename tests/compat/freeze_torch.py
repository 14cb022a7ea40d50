"""Freeze a policy and generators of the present formats: `python tests/compat/freeze_torch.py format-3`, run once."""

import sys
from pathlib import Path

import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from torch import nn

from ckptkit import CheckpointStore

HERE = Path(__file__).parent / "frozen_torch"


def policy(seed: int) -> Policy:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    model.register_buffer("drift", torch.zeros(3), persistent=False)
    model.noise = torch.Generator().manual_seed(seed)  # type: ignore[assignment]
    model.seen = {"calls": 0, "last": (seed, [None])}  # type: ignore[assignment]
    model.hidden = None
    return Policy(model, torch.optim.AdamW(model[3].parameters(), lr=0.1))


def train(item: Policy) -> None:
    """Change every kind of state that format 2 has beside that of format 1."""
    torch.rand(1, generator=item.model.noise)
    item.model.drift += 1
    item.model.hidden = torch.ones(2, dtype=torch.complex128)
    item.model.seen["calls"], item.model.seen["last"] = 7, (8, [9.5])
    item.model[2].p, item.model[1].training = 0.25, False
    item.model[0].requires_grad_(False)
    item.optimizer.add_param_group({"params": list(item.model[1].parameters()), "lr": 0.01})


def generators(seed: int) -> dict[str, object]:
    return {
        "tuple": (np.random.default_rng(seed), [np.random.RandomState(seed)]),
        "seeds": np.random.SeedSequence(seed),
    }


if __name__ == "__main__":
    target = HERE / sys.argv[1]
    if target.exists():
        sys.exit(f"{target} is frozen already")
    live = policy(1)
    train(live)
    CheckpointStore(target).save("run", 3, {"policy": live, "rng": GlobalRng(ours=generators(1))})
