"""Torch set-ups that were graded `exact` and did not resume so: state beside parameters, buffers and optimizer."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.resume_matrix.setup import Train
from benchmarks.resume_matrix.torch_loop import Parts, looped

_NOISE = np.random.default_rng(11)
_SEEN = itertools.count()


class Net(torch.nn.Module):
    """Two layers with dropout between them, and room for what each set-up adds."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)
        self.norm = torch.nn.BatchNorm1d(8)
        self.dropout = torch.nn.Dropout(dropout)
        self.bend: Callable[[Any], Any] = lambda hidden: hidden

    def forward(self, x: Any) -> Any:
        return self.second(self.bend(self.dropout(self.norm(self.first(x)))))


def _parts(net: Any, before: Callable[[int], None] = lambda number: None, **more: Any) -> Parts:
    optimizer = torch.optim.AdamW((p for p in net.parameters() if p.requires_grad), lr=0.01)

    def step(number: int) -> None:
        before(number)
        x = torch.sin(torch.arange(32.0).view(8, 4) * number)
        optimizer.zero_grad()
        ((net(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
        optimizer.step()

    return Parts(net, optimizer, step, **more)


def _plain() -> Parts:
    return _parts(Net())


def _unfrozen() -> Parts:
    net = Net()
    optimizer_of_all = _parts(net)
    net.first.requires_grad_(False)

    def step(number: int) -> None:
        if number == 7:
            net.first.requires_grad_(True)
        optimizer_of_all.step(number)

    return Parts(net, optimizer_of_all.optimizer, step)


def _eval() -> Parts:
    net = Net()
    return _parts(net, lambda number: net.norm.eval() if number == 5 else None)


def _annealed() -> Parts:
    net = Net(0.5)

    def anneal(number: int) -> None:
        net.dropout.p *= 0.93

    return _parts(net, anneal)


def _own_generator() -> Parts:
    net = Net()
    net.own = torch.Generator().manual_seed(3)
    net.bend = lambda hidden: hidden + 0.1 * torch.randn(hidden.shape, generator=net.own)
    return _parts(net)


def _own_numpy_generator() -> Parts:
    net = Net()
    net.own = np.random.default_rng(3)
    net.bend = lambda hidden: hidden * float(net.own.normal())
    return _parts(net)


def _hidden_state() -> Parts:
    net = Net()
    net.hidden = torch.zeros(8)

    def bend(hidden: Any) -> Any:
        net.hidden = 0.5 * net.hidden + 0.1 * hidden.detach().mean(0)
        return hidden + net.hidden

    net.bend = bend
    return _parts(net)


def _passing_buffer() -> Parts:
    net = Net()
    net.register_buffer("passing", torch.zeros(8), persistent=False)

    def bend(hidden: Any) -> Any:
        net.passing += 0.1 * hidden.detach().mean(0)
        return hidden + net.passing

    net.bend = bend
    return _parts(net)


def _counter() -> Parts:
    net = Net()
    net.calls = 0

    def bend(hidden: Any) -> Any:
        net.calls += 1
        return hidden / (1 + 0.05 * net.calls)

    net.bend = bend
    return _parts(net)


def _no_generators() -> Parts:
    from ckptkit_safetensors import Policy

    parts = _parts(Net())
    parts.items = {"policy": Policy(parts.model, parts.optimizer)}
    return parts


def _group_added() -> Parts:
    net = Net()
    parts = _parts(net)
    extra = torch.nn.Linear(8, 8)
    net.extra = extra
    net.bend = lambda hidden: hidden + extra(hidden)

    def step(number: int) -> None:
        if number == 5 and len(parts.optimizer.param_groups) == 1:
            parts.optimizer.add_param_group({"params": list(extra.parameters()), "lr": 0.02})
        parts.step(number)

    return Parts(net, parts.optimizer, step)


def _closure() -> Parts:
    net, held = Net(), np.random.default_rng(7)
    net.bend = lambda hidden: hidden * float(held.normal())
    return _parts(net)


def _module_global() -> Parts:
    net = Net()
    net.bend = lambda hidden: hidden * float(_NOISE.normal())
    return _parts(net)


def _iterator_global() -> Parts:
    net = Net()
    net.bend = lambda hidden: hidden / (1 + 0.02 * next(_SEEN))
    return _parts(net)


def _loop_variable() -> Parts:
    net, scale = Net(), [1.0]

    def decay(number: int) -> None:
        scale[0] *= 0.97

    net.bend = lambda hidden: hidden * scale[0]
    return _parts(net, decay)


def setups() -> Iterator[tuple[str, Train]]:
    """Yield the set-ups by name."""
    for name, build in {
        "nothing beside": _plain,
        "requires_grad changed": _unfrozen,
        "a submodule in eval()": _eval,
        "dropout.p annealed": _annealed,
        "torch.Generator as attribute": _own_generator,
        "NumPy generator as attribute": _own_numpy_generator,
        "hidden state as attribute": _hidden_state,
        "non-persistent buffer": _passing_buffer,
        "counter as attribute": _counter,
        "no GlobalRng beside dropout": _no_generators,
        "add_param_group after the start": _group_added,
        "generator in a closure": _closure,
        "generator as module global": _module_global,
        "itertools.count as module global": _iterator_global,
        "variable of the loop": _loop_variable,
    }.items():
        yield f"torch {name}", looped(_seeded(build))


def _seeded(build: Callable[[], Parts]) -> Callable[[], Parts]:
    def seeded() -> Parts:
        torch.manual_seed(1)
        return build()

    return seeded
