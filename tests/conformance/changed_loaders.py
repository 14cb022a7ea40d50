"""What training changes of a loader's dataset between construction and save."""

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ckptkit_torchdata import ResumableLoader
from torch.utils.data import DataLoader, Dataset


class Held(Dataset):  # type: ignore[type-arg]
    """A dataset that holds what datasets hold."""

    def __init__(self, seed: int) -> None:
        self.rng: Any = np.random.default_rng(seed)
        self.size, self.scale, self.table, self.log = 11, 1.0, {"a": 1.0}, [1.0]
        self.rngs: list[Any] = [np.random.default_rng(seed)]
        self.by_name: dict[str, Any] = {"a": np.random.default_rng(seed)}
        self.shift, self.weights = torch.zeros(2), np.ones(3)
        self.stage: Any = None
        self.fn: Any = len

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float]:
        drawn = [
            one.normal() if hasattr(one, "normal") else one.random() for one in (*self.rngs, *self.by_name.values())
        ]
        numbers = [self.scale, *self.table.values(), *self.log, *drawn, getattr(self, "extra", 0)]
        stage = self.stage.random() if hasattr(self.stage, "random") else self.stage or 0
        held = float(self.shift.sum()) + float(self.weights.sum())
        return index, sum(numbers) + stage + held + self.rng.normal()


def make() -> DataLoader:  # type: ignore[type-arg]
    return DataLoader(Held(5), 3, shuffle=True, generator=torch.Generator().manual_seed(5))


R = np.random.default_rng


def d(change: Callable[[Any], object]) -> Callable[[ResumableLoader], object]:
    """Return a change of the loader's dataset."""
    return lambda item: change(item.loader.dataset)


CHANGES: dict[str, Callable[[ResumableLoader], object]] = {
    "a number": d(lambda x: setattr(x, "scale", 2.5)),
    "a number made None": d(lambda x: setattr(x, "stage", 3)),
    "a list grown": d(lambda x: x.log.append(4.0)),
    "a list shrunk": d(lambda x: x.log.clear()),
    "a dict grown": d(lambda x: x.table.update(b=3.0)),
    "a dict shrunk": d(lambda x: x.table.clear()),
    "a generator list grown": d(lambda x: x.rngs.append(R(9))),
    "a generator list shrunk": d(lambda x: x.rngs.pop()),
    "a generator dict grown": d(lambda x: x.by_name.update(b=R(9))),
    "a generator dict renamed": d(lambda x: x.by_name.update(b=x.by_name.pop("a"))),
    "a generator of another kind": d(lambda x: setattr(x, "rng", np.random.Generator(np.random.MT19937(4)))),
    "a generator of another kind in a list": d(
        lambda x: x.rngs.__setitem__(0, np.random.Generator(np.random.MT19937(4)))
    ),
    "a RandomState": d(lambda x: setattr(x, "rng", np.random.RandomState(4))),
    "a python generator": d(lambda x: x.rngs.__setitem__(0, random.Random(4))),
    "a generator where None was": d(lambda x: setattr(x, "stage", R(4))),
    "a generator new attribute": d(lambda x: setattr(x, "later", R(4))),
    "an attribute added": d(lambda x: setattr(x, "extra", 2.0)),
    "a tensor of another shape": d(lambda x: setattr(x, "shift", torch.ones(5))),
    "an array of another shape": d(lambda x: setattr(x, "weights", np.ones(7))),
    "an array of another dtype": d(lambda x: setattr(x, "weights", np.ones(3, np.float32))),
    "a function exchanged": d(lambda x: setattr(x, "fn", max)),
    "a lambda put": d(lambda x: setattr(x, "fn", lambda y: 3)),
    "a lock put": d(lambda x: setattr(x, "lock", threading.Lock())),
    "generator of the loader reseeded": lambda item: item.loader.generator.manual_seed(99),
    "batch size of the batch sampler": lambda item: setattr(item.loader.batch_sampler, "batch_size", 4),
    "drop_last of the batch sampler": lambda item: setattr(item.loader.batch_sampler, "drop_last", True),
}
