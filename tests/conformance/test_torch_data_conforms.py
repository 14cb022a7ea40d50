"""The laws for ``torch-data``: without and with workers, a sampler with a state of its own, an iterable dataset."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import changed_loaders
import changed_samplers
import numpy as np
import torch
from ckptkit_torchdata import ResumableLoader, TorchDataBackend
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from ckptkit.backend import Grade
from ckptkit.testing import BackendTests


class Noisy(Dataset):  # type: ignore[type-arg]
    """Augments with a generator of its own: the main process's without workers, a copy in each worker with them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, self.rng.normal()


class Counting(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[float]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        rng = np.random.default_rng(first)
        return (index + rng.normal() for index in range(first, 11, stride))


class Wandering(Sampler):  # type: ignore[type-arg]
    """Shuffles with a generator that its ``state_dict`` holds, so each epoch depends on those before."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seed = 1

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        self.seed += 1
        return iter(np.random.default_rng(self.seed).permutation(self.size).tolist())

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed = state["seed"]


class Unknown(Noisy):
    """Holds a generator of a kind that the backend does not know, and draws nothing from it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.other = np.random.Generator(np.random.SFC64(seed))


class Laws(BackendTests):
    backend = TorchDataBackend
    flips = 0
    steps = 6  # batches and ends of epochs: four batches an epoch

    def make_loader(self, batch_size: int = 3, seed: int = 5) -> DataLoader:  # type: ignore[type-arg]
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(Noisy(seed), batch_size, shuffle=True, generator=generator)

    def make_item(self) -> ResumableLoader:
        return ResumableLoader(self.make_loader)

    def lesser_items(self) -> Mapping[Grade, Callable[[], ResumableLoader]]:
        return {"partial": lambda: ResumableLoader(lambda: DataLoader(Unknown(5), 3))}

    def make_target(self) -> ResumableLoader:
        target = ResumableLoader(lambda: self.make_loader(seed=6))
        next(target)
        return target

    def make_misfit(self) -> ResumableLoader:
        return ResumableLoader(lambda: self.make_loader(batch_size=4))

    def advance(self, item: ResumableLoader) -> object:
        try:
            return next(item), item.epoch, item.batches_seen
        except StopIteration:
            return "end of epoch", item.epoch, item.batches_seen

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"loader": lambda: self.make_loader(seed=7)}

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
            def ablate(folder: Path) -> None:
                content = json.loads((folder / "loader.json").read_text())
                change(content)
                (folder / "loader.json").write_text(json.dumps(content))

            return ablate

        return {
            "a batch": edit(lambda content: content.update(batches=content["batches"] - 1, order=None)),
            "the order": edit(lambda content: content.update(order="sha256:00")),
            "the epoch's start": edit(lambda content: content.update(epoch_start=None)),
            "the generators at the start": edit(lambda content: content["epoch_start"].update(generators={})),
            "the generators at the save": edit(lambda content: content["now"].update(generators={})),
        }


class TestWithoutWorkers(Laws):
    flips = 24


class TestSkippingIndices(Laws):
    def make_item(self) -> ResumableLoader:
        return ResumableLoader(self.make_loader, skip="sampler")


class TestWithWorkers(Laws):
    steps = 4

    def make_loader(self, batch_size: int = 3, seed: int = 5) -> DataLoader:  # type: ignore[type-arg]
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(Noisy(seed), batch_size, shuffle=True, generator=generator, num_workers=2)

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        # A worker draws from a copy of the dataset's generator: that of the main process plays no part.
        found = dict(super().ablations())
        del found["the generators at the save"]
        return found


class TestSamplerWithState(Laws):
    flips = 24

    def make_loader(self, batch_size: int = 3, seed: int = 5) -> DataLoader:  # type: ignore[type-arg]
        return DataLoader(Noisy(seed), batch_size, sampler=Wandering(11), generator=torch.Generator().manual_seed(seed))


class TestIterableDataset(Laws):
    def make_loader(self, batch_size: int = 3, seed: int = 5) -> DataLoader:  # type: ignore[type-arg]
        return DataLoader(Counting(), batch_size, generator=torch.Generator().manual_seed(seed))


class Counted(Noisy):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.given = 0

    def __getitem__(self, index: int) -> tuple[int, float]:
        self.given += 1
        return index, self.given + self.rng.normal()


class TestAttributes(Laws):
    """A dataset that counts, as one of many that hold state of their own."""

    def changed_items(self) -> Mapping[str, tuple[Callable[[], ResumableLoader], Callable[[ResumableLoader], object]]]:
        def build() -> ResumableLoader:
            return ResumableLoader(changed_loaders.make)

        of_the_dataset = {name: (build, change) for name, change in changed_loaders.CHANGES.items()}
        return {**of_the_dataset, **changed_samplers.stories()}

    def make_loader(self, batch_size: int = 3, seed: int = 5) -> DataLoader:  # type: ignore[type-arg]
        return DataLoader(Counted(seed), batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed))

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        def ablate(folder: Path) -> None:
            content = json.loads((folder / "loader.json").read_text())
            content["now"]["attributes"] = {}
            (folder / "loader.json").write_text(json.dumps(content))

        return {**super().ablations(), "the attributes at the save": ablate}
