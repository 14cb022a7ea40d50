"""Saving changes nothing: a training that saves at every step ends as one that never saves, wherever state is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_worlds
import torch
from ckptkit_hooks.sb3 import CheckpointCallback
from sb3_agents import BACKEND

from ckptkit import CheckpointStore, Schedule

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
TOTAL = 48


def ended(name: str, store: Path | None) -> dict[str, str]:
    """Train from the same beginning, with or without saving at each step, and return the digests of all parts."""
    sb3_worlds.EPISODES = sb3_worlds.Counted.resets = 0
    torch.manual_seed(5)
    np.random.seed(5)  # before the workers are forked: theirs begin with it
    model = sb3_worlds.agent(name, seed=4)
    try:
        model.learn(
            TOTAL,
            callback=None if store is None else CheckpointCallback(store, "run", schedule=Schedule(every_steps=1)),
        )
        found: dict[str, Any] = BACKEND.digests(model)
        return dict(found)
    finally:
        model.env.close()


@pytest.mark.parametrize(
    "name",
    [
        "ppo subproc normalized",
        "sac subproc",
        "global generators subproc",
        "counts subproc",
        "counts",
        "python's library",
        "closure",
        "maskable",
        "her",
        "lander",
    ],
)
def test_a_training_that_saves_at_every_step_ends_as_one_that_never_saves(name: str, tmp_path: Path) -> None:
    without = ended(name, None)
    assert ended(name, tmp_path) == without
    assert len(list(CheckpointStore(tmp_path).list("run"))) > 1
