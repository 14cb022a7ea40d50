"""The laws for ``safetensors``: a policy in training with all its parts, a bare module, and a dict of arrays."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.torch
import torch
from ckptkit_safetensors import Policy, SafetensorsBackend
from torch.nn.utils import parametrizations, prune

from ckptkit.backend import Grade
from ckptkit.testing import BackendTests


def make_model(width: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1))
    model.noise = torch.Generator().manual_seed(3)  # type: ignore[assignment]
    model.register_buffer("drift", torch.zeros(3), persistent=False)
    return model


def make_policy(width: int = 4) -> Policy:
    model = make_model(width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    return Policy(model, optimizer, scheduler, preprocessor={"mean": [0.5]}, extra={"epoch": 0})


def _reset(path: Path, name: str) -> None:
    """Lose one tensor: it is all ones again, in a file that is whole."""
    with safetensors.safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    tensors = safetensors.torch.load_file(path)
    tensors[name] = torch.ones_like(tensors[name])
    safetensors.torch.save_file(tensors, path, metadata)


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def _replace(folder: Path, old: str, new: str) -> None:
    path = folder / "module_state.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def make_lazy_policy() -> Policy:
    policy = make_policy()
    policy.model[0] = torch.nn.LazyLinear(4)
    policy.optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1)
    policy.scheduler = torch.optim.lr_scheduler.StepLR(policy.optimizer, step_size=2, gamma=0.5)
    return policy


def make_policy_in_groups() -> Policy:
    policy = make_policy()
    policy.optimizer = torch.optim.AdamW([{"params": policy.model[i].parameters()} for i in (0, 1, 2)], lr=0.1)
    policy.scheduler = torch.optim.lr_scheduler.StepLR(policy.optimizer, step_size=2, gamma=0.5)
    return policy


def a_lazy_layer_that_got_its_shape(policy: Policy) -> None:
    assert policy.model[0].in_features == 3


def a_group_taken_away(policy: Policy) -> None:
    for parameter in policy.optimizer.param_groups.pop(1)["params"]:
        del policy.optimizer.state[parameter]
    policy.scheduler.base_lrs.pop(1)


def another_head(policy: Policy) -> None:
    for parameter in policy.model[2].parameters():
        del policy.optimizer.state[parameter]
    policy.model[2] = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    policy.optimizer.param_groups[0]["params"][4:] = policy.model[2].parameters()


def a_pruned_layer(policy: Policy) -> None:
    prune.l1_unstructured(policy.model[0], "weight", 0.5)


def a_function_in_an_attribute(policy: Policy) -> None:
    policy.model.loss = lambda y: y.square().mean()


def another_scheduler(policy: Policy) -> None:
    policy.scheduler = torch.optim.lr_scheduler.ExponentialLR(policy.optimizer, 0.9)


def an_average_from_here_on(policy: Policy) -> None:
    policy.ema = torch.optim.swa_utils.AveragedModel(policy.model)


def a_parametrized_layer(policy: Policy) -> None:
    parametrizations.orthogonal(policy.model[0])
    policy.optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1)


CHANGES: list[tuple[Callable[[], Policy], Callable[[Policy], None]]] = [
    (make_lazy_policy, a_lazy_layer_that_got_its_shape),
    (make_policy_in_groups, a_group_taken_away),
    (make_policy, another_head),
    (make_policy, a_pruned_layer),
    (make_policy, a_function_in_an_attribute),
    (make_policy, another_scheduler),
    (make_policy, an_average_from_here_on),
    (make_policy, a_parametrized_layer),
]


class TestPolicy(BackendTests):
    backend = SafetensorsBackend
    steps = 4
    skips: ClassVar = {
        "test_a_load_without_a_target_builds_one_or_refuses": "without a target the plain tensors and states come back",
    }

    def make_item(self) -> Policy:
        return make_policy()

    def make_target(self) -> Policy:
        target = make_policy()
        for _ in range(3):
            self.advance(target)
        return target

    def make_misfit(self) -> Policy:
        return make_policy(width=5)

    def lesser_items(self) -> Mapping[Grade, Callable[[], Policy]]:
        def sealed() -> Policy:
            policy = make_policy()
            policy.model.sealed = memoryview(bytearray(8))  # no file can hold it
            return policy

        return {"weights-only": lambda: Policy(make_model()), "partial": sealed}

    def changed_items(self) -> Mapping[str, tuple[Callable[[], Policy], Callable[[Policy], object]]]:
        return {change.__name__: (build, change) for build, change in CHANGES}

    def advance(self, item: Policy) -> object:
        item.model.drift += 0.1
        item.model[1].momentum *= 0.9
        x = torch.linspace(-1.0, 1.0, 24).reshape(8, 3) + item.model.drift
        x += torch.randn(8, 3, generator=item.model.noise)
        loss = item.model(x).square().mean() + item.model(-x).mean()
        item.model.zero_grad()
        loss.backward()
        if item.optimizer is None:  # nothing but a model: its user takes the steps
            with torch.no_grad():
                for parameter in item.model.parameters():
                    parameter -= 0.1 * parameter.grad
        else:
            item.optimizer.step()
            item.scheduler.step()
        return {name: value.numpy().copy() for name, value in item.model.state_dict().items()}

    def factories(self) -> Any:
        return {"model": make_policy}

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        return {
            "a weight": lambda folder: _reset(folder / "policy.safetensors", "0.weight"),
            "the running mean": lambda folder: _reset(folder / "policy.safetensors", "1.running_mean"),
            "a pending gradient": lambda folder: _reset(folder / "gradients.safetensors", "0.weight"),
            "the moments of the optimizer": lambda folder: _edit(
                folder / "optimizer_state.pth", lambda state: state["state"][0]["exp_avg"].zero_()
            ),
            "the step of the scheduler": lambda folder: _edit(
                folder / "scheduler_state.pth", lambda state: state.update(last_epoch=0)
            ),
            "a buffer that does not persist": lambda folder: _reset(folder / "module_state.safetensors", "model.drift"),
            "an attribute": lambda folder: _replace(folder, '["1","momentum",', '["1","lost",'),
            "a mode": lambda folder: _replace(folder, '"train":["",', '"train":['),
            "a generator": lambda folder: _replace(folder, '"noise",{"generator"', '"lost",{"generator"'),
            "the processor's settings": lambda folder: (folder / "preprocessor_config.json").write_text(
                '{"mean":[0.0]}', encoding="utf-8"
            ),
        }


class TestDictOfArrays(BackendTests):
    backend = SafetensorsBackend

    def make_item(self) -> dict[str, Any]:
        return {"w": np.arange(6.0).reshape(2, 3), "count": np.array([0], dtype=np.int64)}

    def make_misfit(self) -> dict[str, Any]:
        return {"w": np.zeros((3, 2)), "count": np.array([0], dtype=np.int64)}

    def advance(self, item: dict[str, Any]) -> object:
        item["count"] += 1
        item["w"] *= 1.1
        return item["w"].copy(), item["count"].copy()
