"""The proof of resume: it disturbs nothing, replays in fresh objects, and fails when anything is not as saved."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn

from ckptkit.backend import LoadContext, Proof, SaveContext, SavedItem

BACKEND = SafetensorsBackend()


class Sampler(nn.Module):
    """A policy that draws its action from all three generators, even in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.calls = nn.Linear(3, 2), nn.BatchNorm1d(2), 0

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> dict[str, Any]:
        self.calls += 1
        random.random()
        np.random.rand()
        mean = self.norm(self.layer(x)) * scale
        return {"mean": mean, "action": mean + torch.randn_like(mean)}


def build(seed: int = 0, **fields: Any) -> Policy:
    torch.manual_seed(seed)
    model = Sampler()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(4, 3))["mean"].square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return Policy(model, optimizer, **fields)


def save(item: Any, folder: Path, *, probe: bool = True) -> SavedItem:
    return BACKEND.save(item, folder, context=SaveContext(step=1, probe=probe))


def prove(folder: Path, saved: SavedItem, factory: Callable[[], Any] | None = None, **probe: Any) -> Proof:
    files = tuple(sorted(entry.name for entry in folder.iterdir()))
    factories = {} if factory is None else {"model": factory}
    recorded = {**saved.probe, **probe} if saved.probe is not None else None
    return BACKEND.prove(folder, context=LoadContext(files=files, probe=recorded, factories=factories))


def test_a_policy_proves_itself_in_a_fresh_one(tmp_path: Path) -> None:
    saved = save(build(example_input=torch.ones(2, 3)), tmp_path)
    assert prove(tmp_path, saved, lambda: build(9)) == Proof("same", steps=1, of="answer to the example input")


@pytest.mark.parametrize(
    "example", [(torch.ones(2, 3),), {"x": torch.ones(2, 3)}, torch.ones(2, 3, dtype=torch.float32)]
)
def test_an_example_input_may_be_positional_or_by_keyword(example: Any, tmp_path: Path) -> None:
    saved = save(build(example_input=example), tmp_path)
    assert saved.probe is not None
    assert "digest" in saved.probe["output"]
    assert prove(tmp_path, saved, lambda: build(9)).verdict == "same"


def test_taking_the_proof_changes_nothing_of_the_live_run(tmp_path: Path) -> None:
    policy = build(example_input=torch.ones(2, 3))
    calls, mode = policy.model.calls, policy.model.training
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()
    save(policy, tmp_path)
    assert (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()) == before
    assert (policy.model.calls, policy.model.training) == (calls, mode)


def test_without_a_factory_nothing_is_called_exact(tmp_path: Path) -> None:
    saved = save(build(example_input=torch.ones(2, 3)), tmp_path)
    proof = prove(tmp_path, saved)
    assert proof.verdict == "unproven"
    assert "factory" in str(proof.reason)


def test_a_factory_of_the_bare_module_leaves_the_optimizer_unproven(tmp_path: Path) -> None:
    saved = save(build(), tmp_path)
    proof = prove(tmp_path, saved, lambda: build(3).model)
    assert proof.verdict == "unproven"
    assert "optimizer" in str(proof.reason)


def test_a_dict_of_tensors_needs_no_factory(tmp_path: Path) -> None:
    saved = save({"a": torch.zeros(3), "b": np.ones(2)}, tmp_path)
    assert prove(tmp_path, saved) == Proof("same")


def test_no_proof_recorded_is_unproven(tmp_path: Path) -> None:
    saved = save(build(), tmp_path, probe=False)
    assert saved.probe is None
    assert prove(tmp_path, saved, build).verdict == "unproven"


def test_every_changed_part_is_named(tmp_path: Path) -> None:
    def full(seed: int, value: float) -> Policy:
        policy = build(seed, extra={"v": value}, ema={"w": torch.full((2,), value)})
        policy.scheduler = torch.optim.lr_scheduler.StepLR(policy.optimizer, 3, gamma=value)
        policy.scaler = torch.amp.GradScaler("cpu", init_scale=value)
        for parameter in policy.model.parameters():
            parameter.grad = torch.full_like(parameter, value)
        return policy

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    saved = save(full(0, 2.0), tmp_path / "a")
    save(full(1, 4.0), tmp_path / "b")
    assert prove(tmp_path / "a", saved, lambda: full(5, 8.0)) == Proof("same")
    names = {
        "ema": "ema.safetensors",
        "gradients": "gradients.safetensors",
        "optimizer": "optimizer_state.pth",
        "scheduler": "scheduler_state.pth",
        "scaler": "scaler_state.pth",
        "extra": "extra.json",
        "model": "policy.safetensors",
    }
    for part, file in names.items():
        good = (tmp_path / "a" / file).read_bytes()
        (tmp_path / "a" / file).write_bytes((tmp_path / "b" / file).read_bytes())
        proof = prove(tmp_path / "a", saved, lambda: full(5, 8.0))
        assert proof.verdict == "differs"
        assert str(proof.reason).startswith(f"{part}:")
        (tmp_path / "a" / file).write_bytes(good)


def test_a_model_that_answers_otherwise_differs(tmp_path: Path) -> None:
    class Louder(Sampler):
        def forward(self, x: torch.Tensor, *, scale: float = 2.0) -> dict[str, Any]:
            return super().forward(x, scale=scale)

    def louder() -> Policy:
        model = Louder()
        return Policy(model, torch.optim.AdamW(model.parameters()))

    saved = save(build(example_input=torch.ones(2, 3)), tmp_path)
    assert prove(tmp_path, saved, louder).verdict == "differs"
    assert saved.probe is not None
    output = saved.probe["output"]
    other = {**output, "environment": {**output["environment"], "torch": "1.0"}}
    proof = prove(tmp_path, saved, louder, output=other)
    assert proof.verdict == "unproven"
    assert "torch 1.0 -> " in str(proof.reason)
    assert prove(tmp_path, saved, lambda: build(2), output=other).verdict == "same"


def test_a_factory_of_another_architecture_differs_with_the_reason(tmp_path: Path) -> None:
    saved = save(build(), tmp_path)
    proof = prove(tmp_path, saved, lambda: nn.Linear(2, 2))
    assert proof.verdict == "differs"
    assert "does not load" in str(proof.reason)


def test_an_example_that_the_model_refuses_costs_the_proof_but_not_the_save(tmp_path: Path) -> None:
    saved = save(build(example_input=torch.ones(2, 99)), tmp_path)
    proof = prove(tmp_path, saved, lambda: build(2))
    assert proof.verdict == "unproven"
    assert "did not answer" in str(proof.reason)
