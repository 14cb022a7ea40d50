"""Models of the trainings that change on the way, and what such a change puts into them."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

SAVE_AT = 6  # the step after which every training is saved


class Net(nn.Module):
    """A small network with what programs keep beside layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 2)
        self.twin = nn.Linear(8, 2)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1))])
        self.gains = nn.ParameterDict({"a": nn.Parameter(torch.ones(1))})
        self.register_buffer("offset", torch.zeros(4))
        self.act: Any = torch.tanh
        self.tasks: list[Any] = []
        self.table: dict[str, Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        offset = getattr(self, "offset", None)
        x = self.body(x if offset is None else x + offset)
        for task in self.tasks:
            x = task(x) if callable(task) else x
        y = self.act(self.head(x) + 0.1 * self.twin(x))
        for scale in (*self.scales, *self.gains.values()):
            y = y * scale.mean()
        extra = getattr(self, "drift", None)
        return y[:, :2] if extra is None else y[:, :2] + extra.mean()


class Lazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Dropout(0.2))


class Unused(Net):
    """Has a lazy layer that no forward reaches before the save."""

    def __init__(self) -> None:
        super().__init__()
        self.later = nn.LazyLinear(2)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        y = super().forward(x)
        return y + self.later(y) if self.calls > SAVE_AT + 2 else y


class Tied(Net):
    def __init__(self) -> None:
        super().__init__()
        self.twin.weight = self.head.weight


class Compiled(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.compile(self.body, backend="eager")  # type: ignore[assignment]


class Parallel(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.DataParallel(self.body)  # type: ignore[assignment]


class Normed(Net):
    def __init__(self) -> None:
        super().__init__()
        parametrizations.weight_norm(self.head)
        parametrizations.spectral_norm(self.twin)


class Pruned(Net):
    def __init__(self) -> None:
        super().__init__()
        prune.l1_unstructured(self.head, "weight", 0.2)


class Hooked(Net):
    """Has a hook that training takes away."""

    def __init__(self) -> None:
        super().__init__()
        self.head.register_forward_hook(lambda module, args, out: out * 1.1)
        self.handle = self.head.register_forward_hook(lambda module, args, out: out * 0.5)


class Averaged(Net):
    """Is saved with a moving average of its weights."""


class Wrapped(nn.Module):
    """A layer with an adapter beside it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base, self.low = base, nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.low(x)


class Blend:
    """A callable object of the program's own."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.rate


def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2
