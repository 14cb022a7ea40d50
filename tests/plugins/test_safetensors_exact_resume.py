"""A torch training loop, saved between two accumulation steps and resumed in new objects, ends bit-identical."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ckptkit.backend import LoadContext, SaveContext, SnapshotContext

pytestmark = pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step", "ignore:The epoch parameter", "ignore:.*lr_scheduler.*"
)
BACKEND = SafetensorsBackend()
STEPS, SAVE_AT = 24, 13  # 13 is odd: one of two gradients of the accumulation is pending
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "OneCycle": lambda o: lrs.OneCycleLR(o, max_lr=0.05, total_steps=20),
    "Step": lambda o: lrs.StepLR(o, 3),
    "MultiStep": lambda o: lrs.MultiStepLR(o, [2, 2, 5, 8]),
    "Exponential": lambda o: lrs.ExponentialLR(o, 0.9),
    "Cosine": lambda o: lrs.CosineAnnealingLR(o, 9),
    "CosineWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 4),
    "Cyclic": lambda o: lrs.CyclicLR(o, 0.001, 0.1, step_size_up=3),
    "Linear": lambda o: lrs.LinearLR(o, total_iters=10),
    "Polynomial": lambda o: lrs.PolynomialLR(o, total_iters=12),
    "Lambda": lambda o: lrs.LambdaLR(o, lambda n: 0.95**n),
    "Multiplicative": lambda o: lrs.MultiplicativeLR(o, lambda n: 0.97),
    "Plateau": lambda o: lrs.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    "Sequential": lambda o: lrs.SequentialLR(o, [lrs.LinearLR(o), lrs.ExponentialLR(o, 0.8)], [4]),
    "Chained": lambda o: lrs.ChainedScheduler([lrs.LinearLR(o), lrs.ExponentialLR(o, 0.9)]),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.02),
    "Adam amsgrad": lambda p: torch.optim.Adam(p, lr=0.02, amsgrad=True),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.02, centered=True, momentum=0.5),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.02),
    "Adadelta": torch.optim.Adadelta,
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Rprop": torch.optim.Rprop,
    "ASGD": torch.optim.ASGD,
    "Adafactor": torch.optim.Adafactor,
}


def build(seed: int, optimizer: str = "AdamW", scheduler: str = "OneCycle") -> Policy:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    steps = OPTIMIZERS[optimizer](model.parameters())
    # A scale of 2**100 overflows at first: the growth tracker and the backoff are at work when the save comes.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100, growth_interval=3)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    return Policy(model, steps, SCHEDULERS[scheduler](steps), scaler, ema)


def train(policy: Policy, start: int, stop: int) -> None:
    for step in range(start, stop):
        x = torch.randn(8, 4)  # data from the global generator, as dropout
        loss = (policy.model(x) - x[:, :2].sin()).square().mean() / 2
        policy.scaler.scale(loss).backward()
        if step % 2 == 0:
            continue
        policy.scaler.step(policy.optimizer)
        policy.scaler.update()
        policy.optimizer.zero_grad()
        plateau = isinstance(policy.scheduler, lrs.ReduceLROnPlateau)
        policy.scheduler.step(*([loss.item()] if plateau else []))
        policy.ema.update_parameters(policy.model)


def final(policy: Policy) -> dict[str, str]:
    from ckptkit_safetensors.capture import capture
    from ckptkit_safetensors.part_digests import of_values

    return of_values(capture(policy))


def uninterrupted(folder: Path, *, behind: bool = False, **kinds: str) -> tuple[dict[str, str], torch.Tensor]:
    """Train to the end, saving on the way; return the end and the generator's state at the save.

    What is saved behind is written when the training is over.
    """
    policy, context = build(0, **kinds), SaveContext(step=SAVE_AT)
    train(policy, 0, SAVE_AT)
    if behind:
        pending = BACKEND.snapshot(policy, context=SnapshotContext(step=SAVE_AT))
    else:
        BACKEND.save(policy, folder, context=context)
    generator = torch.get_rng_state()
    train(policy, SAVE_AT, STEPS)
    if behind:
        pending.write(folder, context=context)
    return final(policy), generator


def resumed(folder: Path, generator: torch.Tensor, leave_out: str | None = None, **kinds: str) -> dict[str, str]:
    policy = build(1, **kinds)
    fresh = build(1, **kinds)
    files = tuple(entry.name for entry in folder.iterdir())
    BACKEND.load(folder, target=policy, context=LoadContext(files=files))
    forget(policy, fresh, leave_out)
    torch.set_rng_state(generator if leave_out != "generator" else torch.Generator().get_state())
    train(policy, SAVE_AT, STEPS)
    return final(policy)


def forget(policy: Policy, fresh: Policy, part: str | None) -> None:
    """Put one part back to what a run that did not restore it would start with."""
    if part == "gradients":
        policy.optimizer.zero_grad()
    elif part == "running statistics":
        policy.model[1].reset_running_stats()
    elif part == "optimizer":
        policy.optimizer.state.clear()
    elif part in ("model", "ema", "scheduler", "scaler"):
        getattr(policy, part).load_state_dict(deepcopy(getattr(fresh, part).state_dict()))


def check(folder: Path, *, behind: bool, **kinds: str) -> None:
    end, generator = uninterrupted(folder, behind=behind, **kinds)
    assert resumed(folder, generator, **kinds) == end


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_resume_with_any_scheduler_is_exact(scheduler: str, behind: bool, tmp_path: Path) -> None:
    check(tmp_path, behind=behind, scheduler=scheduler)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resume_with_any_optimizer_is_exact(optimizer: str, behind: bool, tmp_path: Path) -> None:
    check(tmp_path, behind=behind, optimizer=optimizer, scheduler="Step")


PARTS = ["model", "running statistics", "optimizer", "scheduler", "scaler", "ema", "gradients", "generator"]


@pytest.mark.parametrize("part", PARTS)
def test_leaving_out_any_part_ends_otherwise(part: str, tmp_path: Path) -> None:
    end, generator = uninterrupted(tmp_path)
    assert resumed(tmp_path, generator, leave_out=part) != end
