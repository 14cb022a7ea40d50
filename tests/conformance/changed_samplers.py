"""What training changes of a loader's samplers and generators, and of the length of its dataset, in mid-epoch."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from ckptkit_torchdata import ResumableLoader
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)  # fmt: skip

Loader = Any
Story = tuple[Callable[[], ResumableLoader], Callable[[ResumableLoader], object]]


class Rows(Dataset):  # type: ignore[type-arg]
    """Rows that training may add to or take from, and a scale."""

    def __init__(self, count: int = 11) -> None:
        self.rows = [float(index) for index in range(count)]
        self.scale = 1.0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, self.rows[index % len(self.rows)] * self.scale


class Speaking(Rows):
    """Says of itself only its scale."""

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scale = state["scale"]


class Eager(Sampler):  # type: ignore[type-arg]
    """Has the whole order when the epoch begins."""

    def __init__(self, size: int = 11) -> None:
        self.size, self.seed = size, 3

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng(self.seed).permutation(self.size).tolist())


class Lazy(Eager):
    """Looks at its seed and size for each index."""

    def __iter__(self) -> Iterator[int]:
        for index in range(40):
            if index >= self.size:
                return
            yield (index * 7 + self.seed) % 11


class Wandering(Eager):
    """Says of itself only its seed, which each epoch moves on."""

    def __iter__(self) -> Iterator[int]:
        self.seed += 1
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed = state["seed"]


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def replaced(loader: Loader) -> None:
    loader.generator = loader.sampler.generator = generator(77)


def own(seed: int) -> dict[str, Any]:
    return {"generator": generator(seed)}


BUILT: dict[str, Callable[[], Loader]] = {
    "shuffled": lambda: DataLoader(Rows(), 3, shuffle=True, generator=generator()),
    "unseeded": lambda: DataLoader(Rows(), 3, shuffle=True),
    "in order": lambda: DataLoader(Rows(), 3),
    "eager sampler": lambda: DataLoader(Rows(), 3, sampler=Eager(), generator=generator()),
    "lazy sampler": lambda: DataLoader(Rows(), 3, sampler=Lazy(), generator=generator()),
    "lazy sampler with workers": lambda: DataLoader(Rows(), 1, sampler=Lazy(40), generator=generator(), num_workers=2),
    "sampler with state": lambda: DataLoader(Rows(), 3, sampler=Wandering(), generator=generator()),
    "dataset with state": lambda: DataLoader(Speaking(), 3, shuffle=True, generator=generator()),
    "subset": lambda: DataLoader(Rows(), 3, sampler=SubsetRandomSampler(range(9), **own(7)), generator=generator()),
    "weighted": lambda: DataLoader(Rows(), 3, sampler=WeightedRandomSampler([1.0] * 11, 11, **own(7)), **own(5)),
    "random": lambda: DataLoader(Rows(), 3, sampler=RandomSampler(Rows(), replacement=True, **own(7)), **own(5)),
    "distributed": lambda: DataLoader(Rows(22), 3, sampler=DistributedSampler(Rows(22), 2, 0, seed=3), **own(5)),
}

CHANGES: dict[str, dict[str, Callable[[Loader], object]]] = {
    "seed of the sampler": dict.fromkeys(
        ("eager sampler", "lazy sampler", "lazy sampler with workers", "sampler with state", "distributed"),
        lambda loader: setattr(loader.sampler, "seed", 8),
    ),
    "size of the sampler": dict.fromkeys(
        ("eager sampler", "lazy sampler", "lazy sampler with workers", "sampler with state"),
        lambda loader: setattr(loader.sampler, "size", 8),
    ),
    "num_samples of the sampler": {
        "shuffled": lambda loader: setattr(loader.sampler, "_num_samples", 8),
        "weighted": lambda loader: setattr(loader.sampler, "num_samples", 8),
    },
    "rows of the sampler": {
        "subset": lambda loader: setattr(loader.sampler, "indices", list(range(11))),
        "weighted": lambda loader: loader.sampler.weights.mul_(torch.arange(11)),
    },
    "epoch of the sampler": {"distributed": lambda loader: loader.sampler.set_epoch(4)},
    "the sampler itself": {"eager sampler": lambda loader: setattr(loader.batch_sampler, "sampler", Lazy())},
    "batch size": dict.fromkeys(
        ("shuffled", "eager sampler"), lambda loader: setattr(loader.batch_sampler, "batch_size", 2)
    ),
    "generator of the loader": dict.fromkeys(
        ("shuffled", "unseeded", "in order", "eager sampler", "subset", "random"),
        lambda loader: setattr(loader, "generator", generator(77)),
    ),
    "generator of the sampler": dict.fromkeys(
        ("shuffled", "unseeded", "subset", "random"), lambda loader: setattr(loader.sampler, "generator", generator(7))
    ),
    "one generator for both": dict.fromkeys(("shuffled", "unseeded", "subset", "random"), replaced),
    "no generator of the loader": dict.fromkeys(
        ("eager sampler", "subset", "random"), lambda loader: setattr(loader, "generator", None)
    ),
    "no generator of the sampler": dict.fromkeys(
        ("subset", "random"), lambda loader: setattr(loader.sampler, "generator", None)
    ),
    "a dataset that grew": dict.fromkeys(
        ("shuffled", "unseeded", "in order", "eager sampler"), lambda loader: loader.dataset.rows.extend([50.0, 51.0])
    ),
    "a dataset that shrank": dict.fromkeys(
        ("shuffled", "unseeded", "in order", "eager sampler"), lambda loader: loader.dataset.rows.pop()
    ),
    "scale of the dataset": {"dataset with state": lambda loader: setattr(loader.dataset, "scale", 3.0)},
    "rows of the dataset": {"dataset with state": lambda loader: setattr(loader.dataset, "rows", [2.0] * 11)},
}


def stories() -> dict[str, Story]:
    """Return each change of each loader."""

    def change(how: Callable[[Loader], object], item: ResumableLoader) -> object:
        return how(item.loader)

    return {
        f"{name} ({built})": (functools.partial(ResumableLoader, BUILT[built]), functools.partial(change, how))
        for name, loaders in CHANGES.items()
        for built, how in loaders.items()
    }
