"""DataLoader set-ups that were graded `exact` and did not resume so: state of datasets, collate functions, samplers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from benchmarks.resume_matrix.setup import Train
from benchmarks.resume_matrix.torch_loop import Parts, looped

ROWS = 40


class Rows(Dataset):
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return torch.full((4,), float(index)) / ROWS


class Counting(Rows):
    def __init__(self) -> None:
        self.seen = 0

    def __getitem__(self, index: int) -> Any:
        self.seen += 1
        return super().__getitem__(index) / (1 + 0.01 * self.seen)


class Drawing(Rows):
    def __init__(self) -> None:
        self.own = np.random.default_rng(4)

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index) + float(self.own.normal())


class Curriculum(Rows):
    hardness = 0.0

    def set_epoch(self, number: float) -> None:
        self.hardness = number

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index) * (1 + self.hardness)


class Stream(IterableDataset):
    def __init__(self) -> None:
        self.passes = 0

    def __iter__(self) -> Any:
        self.passes += 1
        for index in range(ROWS):
            yield torch.full((4,), float(index * self.passes)) / ROWS


class CountingCollate:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, rows: Any) -> Any:
        self.calls += 1
        return torch.stack(rows) / (1 + 0.02 * self.calls)


class DrawingCollate:
    def __init__(self) -> None:
        self.own = torch.Generator().manual_seed(9)

    def __call__(self, rows: Any) -> Any:
        batch = torch.stack(rows)
        return batch + 0.1 * torch.randn(batch.shape, generator=self.own)


class Epochs(BatchSampler):
    """Batches of a length and order that depend on an epoch which it counts itself."""

    def __init__(self) -> None:
        super().__init__(SequentialSampler(range(ROWS)), 4, False)
        self.epoch = 0

    def __iter__(self) -> Any:
        order = np.random.default_rng(self.epoch).permutation(ROWS).tolist()
        self.epoch += 1
        return iter([order[i : i + 4] for i in range(0, ROWS, 4)])

    def __len__(self) -> int:
        return ROWS // 4


def _trained(loader: Any, before: Any = None) -> Parts:
    from ckptkit_numpy import GlobalRng
    from ckptkit_safetensors import Policy
    from ckptkit_torchdata import ResumableLoader

    torch.manual_seed(1)
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    resumable = ResumableLoader(loader)
    batches: list[Any] = []

    def step(number: int) -> None:
        if before is not None:
            before(number)
        if not batches:
            batches.append(iter(resumable))
        try:
            x = next(batches[0])
        except StopIteration:
            batches[0] = iter(resumable)
            x = next(batches[0])
        optimizer.zero_grad()
        ((net(x) - 1) ** 2).mean().backward()
        optimizer.step()

    return Parts(net, optimizer, step, {"policy": Policy(net, optimizer), "data": resumable, "rng": GlobalRng()})


def _curriculum() -> Parts:
    rows = Curriculum()
    loader = DataLoader(rows, batch_size=4, shuffle=True)
    hard = [0.0]

    def harder(number: int) -> None:
        hard[0] = rows.hardness + 0.1
        rows.set_epoch(hard[0])

    return _trained(loader, harder)


def setups() -> Iterator[tuple[str, Train]]:
    """Yield the set-ups by name."""
    for name, build in {
        "nothing beside": lambda: _trained(DataLoader(Rows(), batch_size=4, shuffle=True)),
        "dataset's counter": lambda: _trained(DataLoader(Counting(), batch_size=4, shuffle=True)),
        "dataset's generator": lambda: _trained(DataLoader(Drawing(), batch_size=4, shuffle=True)),
        "collate_fn's counter": lambda: _trained(
            DataLoader(Rows(), batch_size=4, shuffle=True, collate_fn=CountingCollate())
        ),
        "collate_fn's generator": lambda: _trained(
            DataLoader(Rows(), batch_size=4, shuffle=True, collate_fn=DrawingCollate())
        ),
        "attribute set by the loop": _curriculum,
        "IterableDataset with state": lambda: _trained(DataLoader(Stream(), batch_size=4)),
        "batch sampler with an epoch of its own": lambda: _trained(DataLoader(Rows(), batch_sampler=Epochs())),
    }.items():
        yield f"DataLoader {name}", looped(build)
