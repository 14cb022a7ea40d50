"""Small trainings, each with one piece of state that `state_dict` leaves out: how to build one, and one step of it.

Run as a program it resumes the stories that a store holds, in a process that has seen none of them, and prints what
each trained to: ``python module_stories.py STORE NAME...``.
"""

import enum
import json
import random
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from ckptkit_safetensors import Policy
from torch import nn

SAVE_AT, STEPS = 6, 12


class Story(nn.Module):
    """A small network; the subclasses hold something more."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))

    def before(self, step: int, policy: Policy) -> None:
        """What the loop does before a step."""


class Unfrozen(Story):
    def __init__(self) -> None:
        super().__init__()
        self.body.requires_grad_(False)

    def before(self, step: int, policy: Policy) -> None:
        if step == 3:
            self.body.requires_grad_(True)


class PartInEval(Story):
    def before(self, step: int, policy: Policy) -> None:
        if step == 3:
            self.body.eval()


class AnnealedDropout(Story):
    def before(self, step: int, policy: Policy) -> None:
        if step < SAVE_AT:
            self.body[3].p *= 0.8


class OwnGenerators(Story):
    def __init__(self) -> None:
        super().__init__()
        self.torch_rng = torch.Generator().manual_seed(random.randrange(1 << 30))
        self.numpy_rng = np.random.default_rng(random.randrange(1 << 30))
        self.rngs = {"python": random.Random(random.random()), "legacy": [np.random.RandomState(random.randrange(99))]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = (
            torch.randn(x.shape, generator=self.torch_rng) + self.numpy_rng.normal() + self.rngs["python"].gauss(0, 1)
        )
        return super().forward(x + noise * self.rngs["legacy"][0].normal())


class HiddenState(Story):
    """As an LSTM that carries its state from batch to batch: nothing before the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 4)
        self.hidden: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, c = self.cell(x, self.hidden)
        self.hidden = (h.detach(), c.detach())
        return super().forward(h)


class Lost(NamedTuple):
    mean: torch.Tensor
    count: int


class MadeOnTheWay(Story):
    """A named tuple and an object that no constructor makes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = getattr(self, "seen", Lost(torch.zeros(4), 0))
        self.seen = Lost(seen.mean * 0.9 + x.mean(0) * 0.1, seen.count + 1)
        if not hasattr(self, "memory"):
            self.memory = Memory()
        self.memory.push(x.mean().item())
        return super().forward(x - self.seen.mean + self.memory.total / self.seen.count)


class NotPersistent(Story):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.register_buffer("cache", None, persistent=False)
        self.register_buffer("late", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        self.cache = x.sum(0) if self.cache is None else torch.cat([self.cache, x.sum(0)])[-20:]
        self.late = self.cache.mean() if self.late is None else self.late + 1
        return super().forward(x - self.mean + self.cache.mean() + self.late * 0.01)


class Phase(enum.Enum):
    WARM = 1
    COLD = 2


class PlainValues(Story):
    def __init__(self) -> None:
        super().__init__()
        self.calls, self.temperature, self.phase, self.word = 0, 1.0, Phase.WARM, "first"
        self.recent: deque[float] = deque(maxlen=3)
        self.table: dict[Any, Any] = {"seen": [], ("a", 1): {1, 2}, "pair": (1, [2])}
        self.head.shared = self.table["seen"]
        self.steps = np.zeros(2)
        self.scale = np.float32(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.temperature *= 0.9
        self.scale *= np.float32(0.99)
        self.steps += self.calls
        self.recent.append(self.temperature)
        self.table["seen"].append(self.calls)
        self.table["pair"][1].append(self.calls)
        self.table[("a", 1)].add(self.calls)
        if self.calls == 3:
            self.phase, self.word = Phase.COLD, "second"
        bonus = sum(self.recent) + sum(self.head.shared) + len(self.table[("a", 1)]) + sum(self.table["pair"][1])
        gain = (
            bonus * self.temperature * float(self.scale) + float(self.steps.sum()) * len(self.word) * self.phase.value
        )
        return super().forward(x * gain / 100)


class Memory:
    """An object with slots, as replay memories and running statistics are."""

    __slots__ = ("items", "total")

    def __init__(self) -> None:
        self.items: list[float] = []
        self.total = 0.0

    def push(self, value: float) -> None:
        self.items = [*self.items, value][-4:]
        self.total = sum(self.items)


class Normalizer:
    """An object with tensors, which knows the network that it belongs to."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner, self.mean, self.function = owner, torch.zeros(4), torch.tanh
        self.memory = Memory()


class OwnObjects(Story):
    def __init__(self) -> None:
        super().__init__()
        self.normalizer = Normalizer(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.normalizer.mean = self.normalizer.mean * 0.9 + x.mean(0) * 0.1
        self.normalizer.memory.push(x.max().item())
        return super().forward(self.normalizer.function(x - self.normalizer.mean) + self.normalizer.memory.total)


class HiddenTeacher(Story):
    """A teacher in a list, so that it is no submodule: it follows the weights slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = [nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).requires_grad_(False)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for parameter in self.teacher[0].parameters():
            parameter.mul_(0.9).add_(self.head.weight.detach().mean())
        return super().forward(x + self.teacher[0](x))


class ExtraState(Story):
    def __init__(self) -> None:
        super().__init__()
        self._gain = [1.0, torch.ones(2)]

    def get_extra_state(self) -> dict[str, Any]:
        return {"gain": self._gain[0], "tensor": self._gain[1], "names": ("a", "b"), 3: None}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        assert state["names"] == ("a", "b")
        assert state[3] is None
        self._gain = [state["gain"], state["tensor"]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._gain = [self._gain[0] * 1.1, self._gain[1] * 0.9]
        return super().forward(x * self._gain[0]) * self._gain[1]


class AddedGroup(Story):
    def __init__(self) -> None:
        super().__init__()
        self.body.requires_grad_(False)

    def trained(self) -> Any:
        return self.head.parameters()

    def before(self, step: int, policy: Policy) -> None:
        if step == 3:
            self.body.requires_grad_(True)
            policy.optimizer.add_param_group({"params": list(self.body.parameters()), "lr": 0.003})


class GroupExtendedByHand(AddedGroup):
    def before(self, step: int, policy: Policy) -> None:
        if step == 3:
            self.body.requires_grad_(True)
            policy.optimizer.param_groups[0]["params"].extend(self.body.parameters())


class MovedToAGroup(Story):
    """A layer gets a rate of its own."""

    def before(self, step: int, policy: Policy) -> None:
        if step == 3:
            policy.optimizer.param_groups[0]["params"][:] = list(self.body.parameters())
            policy.optimizer.add_param_group({"params": list(self.head.parameters()), "lr": 0.1})


class Wide(Story):
    """A parameter of a dtype that safetensors has no name for."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = nn.Parameter(torch.randn(4, 4, dtype=torch.complex128))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward((x.to(torch.complex128) @ self.phase).abs().float())


class Counting(torch.optim.AdamW):
    """An optimizer that counts for itself and takes a larger step every third time."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)
        self.calls = 0

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        self.calls += 1
        for group in self.param_groups:
            group["lr"] = 0.1 if self.calls % 5 == 0 else 0.01
        return super().step(closure)


class CountingOptimizer(Story):
    optimizer = Counting


STORIES: dict[str, type[Story]] = {
    story.__name__: story
    for story in (
        Unfrozen, PartInEval, AnnealedDropout, OwnGenerators, HiddenState, MadeOnTheWay, NotPersistent, PlainValues,
        OwnObjects, HiddenTeacher, ExtraState, AddedGroup, GroupExtendedByHand, MovedToAGroup, Wide,
        CountingOptimizer,
    )
}  # fmt: skip


def build(name: str, seed: int) -> Policy:
    torch.manual_seed(seed)
    random.seed(seed)
    model = STORIES[name]()
    kind: Callable[..., Any] = getattr(model, "optimizer", torch.optim.AdamW)
    trained = model.trained() if isinstance(model, AddedGroup) else model.parameters()
    return Policy(model, kind(trained, lr=0.01))


def train(policy: Policy, start: int, stop: int) -> list[float]:
    """Return the losses of the steps; the data come from the global generator."""
    losses = []
    for step in range(start, stop):
        policy.model.before(step, policy)
        x = torch.randn(8, 4)
        loss = (policy.model(x) - x[:, :2].sin()).square().mean()
        policy.optimizer.zero_grad()
        loss.backward()
        policy.optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    from ckptkit_numpy import GlobalRng

    from ckptkit import CheckpointStore

    store, results = CheckpointStore(sys.argv[1]), {}
    for name in sys.argv[2:]:
        policy = build(name, seed=1)
        try:
            store.restore(name, into={"policy": policy, "rng": GlobalRng()})
            results[name] = train(policy, SAVE_AT, STEPS)
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(results))


if __name__ == "__main__":
    main()
