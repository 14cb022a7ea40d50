"""Loaders whose dataset, collator or samplers hold state of their own, and a training over each; also the program.

``python loader_state.py straight FOLDER`` trains without saving; ``first`` saves after every step and ends at the last
save; ``second`` goes on from each save in new objects. All print JSON: by kind, what was trained on.
"""

import functools
import itertools
import json
import multiprocessing
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_torchdata import ResumableLoader
from torch.utils import data as tud

from ckptkit import CheckpointStore

SIZE, STEPS = 20, 13
SAVES = (3, 5, 7)  # inside an epoch, at its last batch, inside the next one
DRAWN = 0
DRAWER = random.Random(8)


class Rows(tud.Dataset[Any]):
    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> float:
        return float(index)


class Counting(Rows):
    def __init__(self) -> None:
        self.count, self.seen = 0, [0, 0]

    def __getitem__(self, index: int) -> float:
        self.count += 1
        self.seen[index % 2] += index
        return index + self.count / 100 + self.seen[0] / 1000


class Annealed(Rows):
    """Its attributes are set by the training loop: at each epoch, and at each step."""

    def __init__(self) -> None:
        self.epoch, self.noise = 0, 0.0
        self.weights = np.ones(3)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> float:
        return index + self.epoch / 10 + self.noise + float(self.weights.sum())


class ByClass(Rows):
    given = 0

    def __getitem__(self, index: int) -> float:
        ByClass.given += 1
        return index + ByClass.given / 100


class ByGlobal(Rows):
    def __getitem__(self, index: int) -> float:
        global DRAWN
        DRAWN += 1
        return index + DRAWN / 100 + DRAWER.random()


class Slotted:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value: float) -> float:
        self.calls += 1
        return value + self.calls / 100


class Transformed(Rows):
    def __init__(self) -> None:
        self.transforms, self.last = [Slotted(), {"noise": np.random.default_rng(3)}], None

    def __getitem__(self, index: int) -> float:
        first, second = self.transforms
        value: float = first(float(index)) + second["noise"].random() + (self.last or 0) / 50  # type: ignore[operator,index]
        self.last = index
        return value


class Tensors(Rows):
    def __init__(self) -> None:
        self.mean, self.history = torch.zeros(2), {"low": 0, "runs": {1: "a"}}

    def __getitem__(self, index: int) -> float:
        self.mean[index % 2] += index
        self.history["low"] += 1  # type: ignore[operator]
        return float(self.mean.sum()) + self.history["low"] / 10  # type: ignore[operator]


class Shared(Rows):
    def __init__(self) -> None:
        self.level = multiprocessing.Value("d", 0.0)

    def __getitem__(self, index: int) -> float:
        self.level.value += 0.5
        return index + self.level.value


class Chained(Rows):
    """What it draws from cannot be put back."""

    def __init__(self) -> None:
        self.ids = itertools.count()

    def __getitem__(self, index: int) -> float:
        return index + next(self.ids) / 100


class Caching(Rows):
    def __init__(self) -> None:
        self.cache: dict[int, Any] = {}

    def __getitem__(self, index: int) -> float:
        return float(self.cache.setdefault(index, torch.zeros(9000) + index)[0])


class Late(Rows):
    """Makes its generator when it is first used, and so does its helper, if it has one."""

    def __init__(self, helped: bool) -> None:
        self.rng, self.helper, self._helped = None, None, helped  # type: ignore[var-annotated]

    def __getitem__(self, index: int) -> float:
        if self.rng is None:
            self.rng = np.random.default_rng(9)
        if self.helper is None and self._helped:
            self.helper = Slotted()
        return index + self.rng.random() + (self.helper(0.0) if self.helper else 0.0)


class Stream(tud.IterableDataset[Any]):
    def __init__(self) -> None:
        self.passes, self.position, self.rng = 0, 0, np.random.default_rng(5)

    def __iter__(self) -> Iterator[float]:
        self.passes += 1
        for index in range(SIZE):
            self.position += 1
            yield index + self.passes / 10 + self.position / 1000 + self.rng.random()


class OwnEpoch(tud.Sampler[list[int]]):
    """A batch sampler that shuffles by its own count of epochs."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[list[int]]:
        self.epoch += 1
        order = np.random.default_rng(self.epoch).permutation(SIZE).tolist()
        return iter([order[start : start + 4] for start in range(0, SIZE, 4)])


class Mixing(tud.Sampler[int]):
    """Shuffles its own list again and again, so each epoch depends on those before."""

    def __init__(self) -> None:
        self.order, self.rng = list(range(SIZE)), random.Random(2)

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        self.rng.shuffle(self.order)
        return iter(self.order)


class Restless(tud.Sampler[int]):
    """Gives another order at each pass, from something that nothing holds."""

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        return iter(random.SystemRandom().sample(range(SIZE), SIZE))


class Collator:
    def __init__(self) -> None:
        self.calls, self.rng = 0, torch.Generator().manual_seed(4)

    def __call__(self, rows: list[float]) -> Any:
        self.calls += 1
        return torch.tensor(rows) + self.calls / 10 + torch.rand((), generator=self.rng)


def closure() -> Callable[[list[float]], Any]:
    calls, rng = 0, np.random.default_rng(6)

    def collate(rows: list[float]) -> Any:
        nonlocal calls
        calls += 1
        return torch.tensor(rows) + calls / 10 + rng.random()

    return collate


def partial() -> Callable[[list[float]], Any]:
    def collate(rows: list[float], kept: dict[str, int]) -> Any:
        kept["calls"] += 1
        return torch.tensor(rows) + kept["calls"] / 10

    return functools.partial(collate, kept={"calls": 0})


def remembering() -> Callable[[list[float]], Any]:
    def collate(rows: list[float], past: list[float] = []) -> Any:  # noqa: B006  # that is the case
        collate.calls = getattr(collate, "calls", 0) + 1  # type: ignore[attr-defined]
        past.append(rows[0])
        return torch.tensor(rows) + collate.calls / 10 + sum(past) / 100  # type: ignore[attr-defined]

    return collate


def by_default(dataset: Any = None, **options: Any) -> Any:
    return tud.DataLoader(Rows() if dataset is None else dataset, **{"batch_size": 4, **options})


KINDS: dict[str, Callable[[], Any]] = {
    "dataset counter": lambda: by_default(Counting(), shuffle=True),
    "dataset counter, indices skipped": lambda: by_default(Counting(), shuffle=True),
    "set by the loop": lambda: by_default(Annealed(), shuffle=True),
    "set by the loop, wrapped": lambda: by_default(tud.ConcatDataset([tud.Subset(Annealed(), range(SIZE))])),
    "class attribute": lambda: by_default(ByClass()),
    "module globals": lambda: by_default(ByGlobal()),
    "transforms": lambda: by_default(Transformed(), shuffle=True),
    "tensors and tables": lambda: by_default(Tensors()),
    "shared memory": lambda: by_default(Shared()),
    "collator": lambda: by_default(collate_fn=Collator()),
    "closure": lambda: by_default(collate_fn=closure()),
    "partial": lambda: by_default(collate_fn=partial()),
    "function attribute and default": lambda: by_default(collate_fn=remembering()),
    "bound method": lambda: by_default(collate_fn=Collator().__call__),
    "stream": lambda: by_default(Stream()),
    "batch sampler with its own epoch": lambda: tud.DataLoader(Rows(), batch_sampler=OwnEpoch()),
    "sampler that goes on shuffling": lambda: by_default(sampler=Mixing()),
    "workers, counter": lambda: by_default(Counting(), num_workers=2),
    "workers, set by the loop": lambda: by_default(Annealed(), num_workers=1),
    "workers, collator": lambda: by_default(collate_fn=Collator(), num_workers=2, persistent_workers=True),
    "generator made at the first use": lambda: by_default(Late(helped=False)),
    "workers, generator made at the first use": lambda: by_default(Late(helped=False), num_workers=1),
    "object made at the first use": lambda: by_default(Late(helped=True)),
    "iterator": lambda: by_default(Chained()),
    "cache": lambda: by_default(Caching()),
    "restless sampler": lambda: by_default(sampler=Restless()),
}


def make(kind: str) -> ResumableLoader:
    ByClass.given = 0
    globals()["DRAWN"] = 0
    DRAWER.seed(8)
    return ResumableLoader(KINDS[kind], skip="sampler" if "skipped" in kind else "refetch")


def step(data: ResumableLoader, number: int) -> str:
    """Take one batch, as a loop does that sets attributes, and draws from the global generators."""
    dataset = data.loader.dataset
    while isinstance(inner := getattr(dataset, "datasets", [getattr(dataset, "dataset", None)])[0], tud.Dataset):
        dataset = inner
    while True:
        if isinstance(dataset, Annealed):
            dataset.noise = number / 100
            dataset.weights[number % 3] += 1
            if data.batches == 0:
                dataset.set_epoch(data.epoch)
        try:
            batch = torch.as_tensor(next(data))
        except StopIteration:
            continue
        torch.rand(2), random.random()
        return str(np.round(batch.numpy().astype("float64"), 6).tolist())


def straight(kind: str, folder: Path) -> list[str]:
    torch.manual_seed(0), random.seed(0)
    data = make(kind)
    return [step(data, number) for number in range(1, STEPS + 1)]


def first(kind: str, folder: Path) -> dict[str, Any]:
    torch.manual_seed(0), random.seed(0)
    store, data, taken, said = CheckpointStore(folder / "store"), make(kind), [], {}
    for number in range(1, max(SAVES) + 1):
        taken.append(step(data, number))
        at = store.save(kind.replace(" ", "-").replace(",", ""), number, {"data": data, "rng": GlobalRng()})
        said[number] = at.manifest.items["data"].plain()
    return {"taken": taken, "said": {n: said[n] for n in SAVES}}


def second(kind: str, folder: Path) -> dict[int, Any]:
    store, found = CheckpointStore(folder / "store"), {}
    for save in SAVES:
        torch.manual_seed(5), random.seed(5)
        data = make(kind)
        try:
            store.restore(f"{kind.replace(' ', '-').replace(',', '')}@{save}", {"data": data, "rng": GlobalRng()})
            found[save] = [step(data, number) for number in range(save + 1, STEPS + 1)]
        except Exception as error:
            found[save] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    part = {"straight": straight, "first": first, "second": second}[sys.argv[1]]
    only = sys.argv[3:] or list(KINDS)
    print("JSON", json.dumps({kind: part(kind, Path(sys.argv[2])) for kind in only}))
