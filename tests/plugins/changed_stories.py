"""Trainings in which the program changes modules, optimizer or schedule on the way, between construction and save.

Run as a program it resumes the stories that a store holds, in a process that builds each anew and repeats none of the
changes, saves each again on the way and resumes that too, and prints what came of it:
``python changed_stories.py STORE NAME...``.
"""

import json
import sys
import warnings

import torch
from changed_nets import SAVE_AT, Averaged, Compiled, Hooked, Lazy, Net, Normed, Parallel, Pruned, Tied, Unused
from changes_on_the_way import (
    ON_THE_WAY,
    Change,
    activation_of_the_program,
    first_group_removed,
    head_and_average_of_another_shape,
    hook_taken_away,
    made_permanent,
    nothing,
    pruned_again,
    weights_untied,
)
from ckptkit_safetensors import Policy
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import AveragedModel

CHANGE_AT, AGAIN_AT, STEPS = 3, 9, 12

STORIES: dict[str, tuple[type[Net], Change]] = {
    **{change.__name__: (Net, change) for change in ON_THE_WAY},
    "lazy": (Lazy, nothing),
    "lazy_and_unused": (Unused, nothing),
    "lazy_and_a_group_removed": (Lazy, first_group_removed),
    "weights_untied": (Tied, weights_untied),
    "compiled": (Compiled, nothing),
    "parallel": (Parallel, nothing),
    "normed": (Normed, nothing),
    "pruned_from_the_start": (Pruned, nothing),
    "pruned_again": (Pruned, pruned_again),
    "pruning_made_permanent": (Pruned, made_permanent),
    "hook_taken_away": (Hooked, hook_taken_away),
    "average_and_a_head_of_another_shape": (Averaged, head_and_average_of_another_shape),
    "average_and_a_group_removed": (Averaged, first_group_removed),
    "compiled_and_an_activation": (Compiled, activation_of_the_program),
}


def build(name: str, seed: int) -> Policy:
    torch.manual_seed(seed)
    kind, _ = STORIES[name]
    model = kind()
    body, rest = list(model.body.parameters()), [p for n, p in model.named_parameters() if not n.startswith("body")]
    optimizer = torch.optim.AdamW([{"params": body, "lr": 0.02}, {"params": rest}], lr=0.01)
    ema = AveragedModel(model) if kind is Averaged else None
    return Policy(model, optimizer, lrs.StepLR(optimizer, 2, gamma=0.9), ema=ema)


def train(name: str, policy: Policy, start: int, stop: int) -> list[float]:
    """Return the losses of the steps; the data come from the global generator."""
    losses = []
    for step in range(start, stop):
        if step == CHANGE_AT:
            STORIES[name][1](policy)
        x = torch.randn(8, 4)
        y = policy.model(x.to(next(p.dtype for p in policy.model.parameters())))
        loss = (y - x[:, : y.shape[1]].sin()).square().mean()
        policy.optimizer.zero_grad()
        loss.backward()
        policy.optimizer.step()
        if policy.scheduler is not None and len(policy.scheduler.base_lrs) == len(policy.optimizer.param_groups):
            policy.scheduler.step()
        if policy.ema is not None and list(policy.ema.module.state_dict()) == list(policy.model.state_dict()):
            policy.ema.update_parameters(policy.model)
        losses.append(loss.item())
    return losses


def main() -> None:
    from ckptkit_numpy import GlobalRng

    from ckptkit import CheckpointStore

    warnings.simplefilter("ignore")
    store, results = CheckpointStore(sys.argv[1]), {}
    for name in sys.argv[2:]:
        policy = build(name, seed=1)
        try:
            restored = store.restore(name, into={"policy": policy, "rng": GlobalRng()})
        except Exception as error:
            results[name] = {"refused": f"{type(error).__name__}: {error}"}
            continue
        try:
            losses = train(name, policy, SAVE_AT, AGAIN_AT)
            store.save(f"{name}-again", AGAIN_AT, {"policy": policy, "rng": GlobalRng()})
            rest = train(name, policy, AGAIN_AT, STEPS)
            policy = build(name, seed=2)
            store.restore(f"{name}-again", into={"policy": policy, "rng": GlobalRng()})
            again = train(name, policy, AGAIN_AT, STEPS)
        except Exception as error:
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        results[name] = {"losses": losses + rest, "again": losses + again, "told": list(restored.warnings)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
