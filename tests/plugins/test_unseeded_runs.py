"""A run that nobody seeded is resumed as it went on itself: compared with the same process, not with a second run."""

import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from torch import nn

from ckptkit import CheckpointStore

SAVES, STEPS = (3, 8), 13


@dataclass
class Rngs:
    """Generators of the run's own; every default takes its seed from the operating system."""

    numpy: np.random.Generator = field(default_factory=np.random.default_rng)
    python: random.Random = field(default_factory=random.Random)
    legacy: np.random.RandomState = field(default_factory=np.random.RandomState)
    children: np.random.SeedSequence = field(default_factory=np.random.SeedSequence)


def build() -> tuple[Policy, Rngs]:
    torch.seed()
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.4), nn.RReLU(), nn.Linear(8, 2))
    model.noise = torch.Generator()  # type: ignore[assignment]
    model.noise.seed()  # type: ignore[union-attr]
    return Policy(model, torch.optim.AdamW(model.parameters(), lr=0.05)), Rngs()


def step(policy: Policy, rngs: Rngs) -> float:
    """Draw from every generator there is, and return the loss exactly."""
    shift = random.random() + np.random.normal() + rngs.python.gauss(0, 1) + rngs.legacy.normal()
    child = np.random.default_rng(rngs.children.spawn(1)[0])
    x = torch.from_numpy(rngs.numpy.normal(size=(8, 4)) + child.normal() + shift).float()
    x += torch.randn(x.shape, generator=policy.model.noise) + torch.rand(1)
    loss = (policy.model(x) - x[:, :2].sin()).square().mean()
    policy.optimizer.zero_grad()
    loss.backward()
    policy.optimizer.step()
    return float(loss)


def main(root: str, start: int) -> None:
    store, (policy, rngs), losses = CheckpointStore(root), build(), []
    seeds = [policy.model.noise.initial_seed(), rngs.children.entropy, torch.initial_seed()]
    if start:
        store.restore(f"run@{start}", into={"policy": policy, "rng": GlobalRng(ours=rngs)})
    for number in range(start, STEPS):
        if number in SAVES and number > start:
            store.save("run", number, {"policy": policy, "rng": GlobalRng(ours=rngs)}, replace=True)
        losses.append(step(policy, rngs))
    print(json.dumps({"seeds": seeds, "losses": losses}))


def run(root: Path, start: int) -> Any:
    command = [sys.executable, __file__, str(root), str(start)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_an_unseeded_run_is_resumed_as_the_same_process_went_on(tmp_path: Path) -> None:
    live, resumed = run(tmp_path, 0), run(tmp_path, 8)
    assert not {*live["seeds"]} & {*resumed["seeds"]}  # nobody seeded either of them
    assert resumed["losses"] == live["losses"][8:]
    manifest = json.loads((tmp_path / "run" / "step-00000008" / "manifest.json").read_text())
    assert {item["captured"]["grade"] for item in manifest["items"].values()} == {"complete"}
    # From the older save as well, saving over the newer one on the way.
    assert run(tmp_path, 3)["losses"] == live["losses"][3:]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
