"""A training loop over a DataLoader, saved through the store and resumed in new objects or processes, ends the same.

Also a script: it resumes the run of a store in its own process and prints the digest of the end.
"""

import hashlib
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from ckptkit_torchdata import ResumableLoader
from ckptkit_torchdata.generators import globals_state
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from ckptkit import CheckpointStore

EPOCHS, BATCHES = 2, 6
SAVES = {"inside an epoch": (8, False), "after the last batch": (6, False), "between two epochs": (6, True)}
KINDS = {"w=0": (0, False), "w=2": (2, False), "w=2 persistent": (2, True)}


class Points(Dataset):  # type: ignore[type-arg]
    """Twenty-two points; augmented with the global generators of the process that fetches them."""

    def __init__(self, augmented: bool) -> None:
        self.augmented = augmented
        self.points = torch.linspace(-1, 1, 22 * 4).reshape(22, 4)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> torch.Tensor:
        if not self.augmented:
            return self.points[index]
        return self.points[index] * torch.rand(4) + random.random() + float(np.random.normal())


def make_loader(kind: str, augmented: bool, **options: Any) -> Callable[[], Any]:
    workers, persistent = KINDS[kind]
    return lambda: DataLoader(
        Points(augmented), 4, shuffle=True, num_workers=workers, persistent_workers=persistent, **options
    )


class Run:
    """All the state of a run in which everything draws, and two batches make one step of the optimizer."""

    def __init__(self, seed: int, data: ResumableLoader) -> None:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=EPOCHS * BATCHES)
        ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.policy = Policy(model, optimizer, schedule, ema=ema)
        self.data = data

    def items(self) -> dict[str, Any]:
        return {"policy": self.policy, "data": self.data, "rng": GlobalRng()}

    def moments(self) -> Iterator[tuple[int, bool]]:
        """Train; yield (batches seen, whether an epoch has just ended) wherever a save may come."""
        for epoch in range(self.data.epoch, EPOCHS):
            assert self.data.epoch == epoch
            for batch in self.data:
                loss = (self.policy.model(batch) - batch[:, :2].sin() + torch.randn(2)).square().mean()
                loss.backward()
                if self.data.batches_seen % 2 == 0:
                    self.policy.optimizer.step()
                    self.policy.optimizer.zero_grad()
                    self.policy.scheduler.step()
                    self.policy.ema.update_parameters(self.policy.model)
                yield self.data.batches_seen, False
            yield self.data.batches_seen, True

    def finish(self) -> str:
        """Train to the end and return the digest of all that training made, and of the next draws."""
        for _ in self.moments():
            pass
        hasher = hashlib.sha256()
        for module in (self.policy.model, self.policy.ema):
            for tensor in module.state_dict().values():
                hasher.update(tensor.numpy().tobytes())
        for state in self.policy.optimizer.state.values():
            for value in state.values():
                hasher.update(value.numpy().tobytes())
        hasher.update(torch.rand(4).numpy().tobytes() + np.random.bytes(4) + random.randbytes(4))
        return hasher.hexdigest()


def saved(store: CheckpointStore, run: Run, when: tuple[int, bool]) -> str:
    """Train, save on the way, train to the end."""
    for moment in run.moments():
        if moment == when:
            store.save("run", moment[0], run.items())
            return run.finish()
    raise AssertionError(f"never came to {when}")


def resumed(store: CheckpointStore, run: Run, forget: Callable[[ResumableLoader], object] = lambda data: None) -> str:
    store.restore("run", into=run.items())
    forget(run.data)
    return run.finish()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def uninterrupted(kind: str, augmented: bool) -> str:
    return Run(0, ResumableLoader(make_loader(kind, augmented))).finish()


@pytest.mark.parametrize("when", list(SAVES))
@pytest.mark.parametrize("augmented", [False, True], ids=["plain", "augmented"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path: Path, kind: str, augmented: bool, when: str) -> None:
    store, make = CheckpointStore(tmp_path / "store"), make_loader(kind, augmented)
    expected = uninterrupted(kind, augmented)
    assert saved(store, Run(0, ResumableLoader(make)), SAVES[when]) == expected
    assert resumed(store, Run(1, ResumableLoader(make))) == expected


@pytest.mark.parametrize("augmented", [False, True], ids=["plain", "augmented"])
def test_batches_are_the_same_with_and_without_persistent_workers(augmented: bool) -> None:
    assert uninterrupted("w=2", augmented) == uninterrupted("w=2 persistent", augmented)


def test_a_plain_data_loader_gives_the_same_run() -> None:
    wrapped = Run(0, ResumableLoader(make_loader("w=2", True))).data
    torch.manual_seed(0)
    plain = [batch for _ in range(2) for batch in make_loader("w=2", True)()]
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(plain, [b for _ in range(2) for b in wrapped], strict=True))


@pytest.mark.parametrize(("kind", "augmented"), [("w=0", False), ("w=0", True), ("w=2", False)])
@pytest.mark.parametrize("when", list(SAVES))
def test_skipping_indices_is_exact_where_it_is_accepted(tmp_path: Path, kind: str, augmented: bool, when: str) -> None:
    def data() -> ResumableLoader:
        return ResumableLoader(make_loader(kind, augmented), skip="sampler", random_items=kind == "w=0")

    store = CheckpointStore(tmp_path / "store")
    expected = saved(store, Run(0, data()), SAVES[when])
    assert resumed(store, Run(1, data())) == expected


def test_a_false_promise_that_items_are_not_random_shows(tmp_path: Path) -> None:
    def data() -> ResumableLoader:
        return ResumableLoader(make_loader("w=2", True), skip="sampler", random_items=False)

    store = CheckpointStore(tmp_path / "store")
    expected = saved(store, Run(0, data()), SAVES["inside an epoch"])
    assert resumed(store, Run(1, data())) != expected


@pytest.mark.parametrize("kind", ["w=0", "w=2"])
def test_a_run_that_is_resumed_after_every_batch_and_epoch_ends_the_same(tmp_path: Path, kind: str) -> None:
    make = make_loader(kind, True)
    store, run = CheckpointStore(tmp_path / "store"), Run(0, ResumableLoader(make))
    stops = [*SAVES.values(), (11, False), (12, False)]
    for number, stop in enumerate(sorted(stops)):
        next(moment for moment in run.moments() if moment == stop)
        store.save("run", stop[0], run.items(), replace=True)
        run = Run(number + 1, ResumableLoader(make))
        store.restore("run", into=run.items())
        store.save("run", stop[0], run.items(), replace=True)  # before the first batch: what is pending is saved
        run = Run(number + 2, ResumableLoader(make))
        store.restore("run", into=run.items())
    assert run.finish() == uninterrupted(kind, True)


def test_a_new_process_ends_as_the_uninterrupted_run(tmp_path: Path) -> None:
    store, kind = CheckpointStore(tmp_path / "store"), "w=2"
    expected = saved(store, Run(0, ResumableLoader(make_loader(kind, True))), SAVES["inside an epoch"])
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "store"), kind], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [expected]


def without_start(data: ResumableLoader) -> None:
    place = data.place()
    data.go_to(replace(place, position=replace(place.position, globals=globals_state(), order=None)))


def without_refetch(data: ResumableLoader) -> None:
    place = data.place()
    data.go_to(replace(place, position=replace(place.position, batches=0, order=None)))


def without_place(data: ResumableLoader) -> None:
    fresh = ResumableLoader(data.loader_factory)
    data.go_to(replace(fresh.place(), position=replace(fresh.place().position, epoch=data.epoch)))


@pytest.mark.parametrize("forget", [without_start, without_refetch, without_place])
@pytest.mark.parametrize("kind", ["w=0", "w=2"])
def test_without_any_part_of_it_the_run_ends_differently(
    tmp_path: Path, kind: str, forget: Callable[[ResumableLoader], object]
) -> None:
    store, make = CheckpointStore(tmp_path / "store"), make_loader(kind, False)
    expected = saved(store, Run(0, ResumableLoader(make)), SAVES["inside an epoch"])
    assert resumed(store, Run(1, ResumableLoader(make)), forget) != expected


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(resumed(CheckpointStore(sys.argv[1]), Run(1, ResumableLoader(make_loader(sys.argv[2], True)))))
