"""Samplers, datasets and loaders of many kinds: resumed at the very next batch, or graded and said why not."""

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ckptkit_torchdata import ResumableLoader, TorchDataBackend
from torch.utils import data as tud

from ckptkit.backend import LoadContext, SaveContext, SavedItem
from ckptkit.errors import BackendError, UsageError

BACKEND = TorchDataBackend()
SIZE = 20
Factory = Callable[[], Any]


class Numbers(tud.Dataset[Any]):
    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> int:
        return index


class Stream(tud.IterableDataset[Any]):
    """Shuffles through a buffer that draws as it goes: from its own generator, or from the global one."""

    def __init__(self, rng: random.Random | None) -> None:
        self.rng = rng

    def __iter__(self) -> Iterator[int]:
        worker = tud.get_worker_info()
        rng: Any = self.rng or random
        buffer = list(range(worker.id if worker else 0, SIZE, worker.num_workers if worker else 1))
        while buffer:
            yield buffer.pop(rng.randrange(len(buffer)))


class Lazy(tud.Sampler[int]):
    """Draws an index at a time from the global generator, in between what training draws."""

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        return (int(torch.randint(SIZE, ())) for _ in range(SIZE))


class Restless(tud.Sampler[int]):
    """Gives another order at each pass, from something that no generator holds."""

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        return iter(random.SystemRandom().sample(range(SIZE), SIZE))


class Buckets(tud.Sampler[list[int]]):
    """A batch sampler that keeps a tensor and a count from one epoch to the next, and says so."""

    def __init__(self) -> None:
        self.epochs, self.offset = 0, torch.tensor([3])

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[list[int]]:
        self.epochs += 1
        self.offset = self.offset * 3 + self.epochs
        start = int(self.offset)
        return ([(start + 4 * batch + i) % SIZE for i in range(4)] for batch in range(5))

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "offset": self.offset}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs, self.offset = state["epochs"], state["offset"]


def loader(dataset: Any = None, batch_size: int | None = 4, **options: Any) -> tud.DataLoader[Any]:
    return tud.DataLoader(Numbers() if dataset is None else dataset, batch_size, **options)


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


EXACT: dict[str, Factory] = {
    "in order": loader,
    "shuffled": lambda: loader(shuffle=True),
    "own generator": lambda: loader(shuffle=True, generator=seeded()),
    "own generator, workers": lambda: loader(shuffle=True, generator=seeded(), num_workers=1),
    "drop_last": lambda: loader(batch_size=3, shuffle=True, drop_last=True),
    "no batches": lambda: loader(batch_size=None, shuffle=True),
    "with replacement": lambda: loader(
        sampler=tud.RandomSampler(Numbers(), replacement=True, num_samples=70, generator=seeded())
    ),
    "with replacement, workers": lambda: loader(
        sampler=tud.RandomSampler(Numbers(), replacement=True, num_samples=70, generator=seeded()), num_workers=1
    ),
    "several permutations": lambda: loader(sampler=tud.RandomSampler(Numbers(), num_samples=50, generator=seeded())),
    "weighted": lambda: loader(sampler=tud.WeightedRandomSampler(range(1, SIZE + 1), SIZE)),
    "subset": lambda: loader(sampler=tud.SubsetRandomSampler(range(0, SIZE, 2))),
    "batch sampler": lambda: tud.DataLoader(
        Numbers(), batch_sampler=tud.BatchSampler(tud.RandomSampler(Numbers()), 3, drop_last=False)
    ),
    "state_dict": lambda: tud.DataLoader(Numbers(), batch_sampler=Buckets()),
    "state_dict, workers": lambda: tud.DataLoader(Numbers(), batch_sampler=Buckets(), num_workers=1),
    "distributed": lambda: loader(
        sampler=tud.distributed.DistributedSampler(Numbers(), num_replicas=2, rank=1, seed=5), batch_size=2
    ),
    "stream, own generator": lambda: loader(Stream(random.Random(4))),
    "stream, workers": lambda: loader(Stream(None), num_workers=2),
}


def drive(data: ResumableLoader, count: int) -> list[list[int]]:
    """Take batches over the ends of epochs, with a training loop that draws from the global generators."""
    taken: list[list[int]] = []
    while len(taken) < count:
        if data.batches == 0 and hasattr(data.loader.sampler, "set_epoch"):
            data.loader.sampler.set_epoch(data.epoch)
        for batch in data:
            taken.append(torch.as_tensor(batch).reshape(-1).tolist())
            torch.rand(2)
            random.random()
            if len(taken) == count:
                break
    return taken


def save(data: ResumableLoader, folder: Path) -> SavedItem:
    folder.mkdir(parents=True)
    return BACKEND.save(data, folder, context=SaveContext(step=0))


def context(folder: Path, said: SavedItem, factory: Factory | None = None) -> LoadContext:
    files = sorted(file.name for file in folder.iterdir())
    factories = {} if factory is None else {"loader": factory}
    return LoadContext(files, said.metadata, probe=said.probe, factories=factories)


def resumed(folder: Path, said: SavedItem, data: ResumableLoader, state: torch.Tensor) -> ResumableLoader:
    """Load as a store would: the global generators, which are not the item's, come back after it."""
    torch.manual_seed(99)
    BACKEND.load(folder, target=data, context=context(folder, said))
    torch.set_rng_state(state)
    return data


@pytest.mark.parametrize("done", [3, 5, 7])
@pytest.mark.parametrize("kind", list(EXACT))
def test_a_loader_goes_on_with_the_very_next_batch(tmp_path: Path, kind: str, done: int) -> None:
    torch.manual_seed(0)
    live = ResumableLoader(EXACT[kind])
    drive(live, done)
    said, state = save(live, tmp_path / "item"), torch.get_rng_state()
    expected = drive(live, 8)
    back = resumed(tmp_path / "item", said, ResumableLoader(EXACT[kind]), state)
    assert drive(back, 8) == expected
    assert (back.epoch, back.batches, back.batches_seen) == (live.epoch, live.batches, live.batches_seen)
    assert said.captured.grade == "complete"
    assert BACKEND.prove(tmp_path / "item", context=context(tmp_path / "item", said, EXACT[kind])).verdict == "same"


def test_saving_before_every_batch_changes_no_save(tmp_path: Path) -> None:
    """A look ahead must not show in what the next save finds: the sampler's generator draws at the end of an epoch."""
    kind = EXACT["own generator, workers"]
    expected = drive(ResumableLoader(kind), 9)
    live = ResumableLoader(kind)
    for done in range(6):
        said = save(live, tmp_path / str(done))
        back = resumed(tmp_path / str(done), said, ResumableLoader(kind), torch.get_rng_state())
        assert drive(back, 9 - done) == expected[done:], done
        assert drive(live, 1) == [expected[done]]


SHARED: dict[str, Callable[[], dict[str, Any]]] = {
    "generator": lambda: {"generator": seeded(), "shuffle": True},
    "sampler": lambda: {"sampler": tud.RandomSampler(Numbers(), generator=seeded())},
    "sampler with a state": lambda: {"batch_size": None, "sampler": Buckets()},
    "sampler of another class": lambda: {"sampler": Counted()},
    "dataset": lambda: {"dataset": Holding(np.random.default_rng(1)), "shuffle": True},
    "stream": lambda: {"dataset": Stream(random.Random(3))},
}


class Counted(tud.Sampler[int]):
    """Keeps count of its passes and says nothing about it."""

    def __init__(self) -> None:
        self.passes = 0

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        self.passes += 1
        return iter([(index * 7 + self.passes) % SIZE for index in range(SIZE)])


@pytest.mark.parametrize("shared", list(SHARED))
def test_a_proof_does_not_disturb_what_a_factory_shares(tmp_path: Path, shared: str) -> None:
    def run(*, saving: bool) -> list[list[int]]:
        torch.manual_seed(0)
        options = SHARED[shared]()
        live, taken = ResumableLoader(lambda: loader(**options)), []
        for step in range(9):
            if saving:
                save(live, tmp_path / str(step))
            taken += drive(live, 1)
        return taken

    assert run(saving=True) == run(saving=False)


@pytest.mark.parametrize(
    ("kind", "factory", "word"),
    [
        ("a stream that draws from the global generator", lambda: loader(Stream(None)), "IterableDataset"),
        ("a sampler that draws as it goes", lambda: loader(sampler=Lazy()), "sampler draws"),
        ("free order", lambda: loader(num_workers=1, in_order=False), "in_order"),
        ("an unknown generator", lambda: loader(Holding(np.random.Generator(np.random.SFC64(1)))), "SFC64"),
    ],
)
def test_what_cannot_be_exact_is_graded_with_the_reason(tmp_path: Path, kind: str, factory: Factory, word: str) -> None:
    live = ResumableLoader(factory)
    drive(live, 3)
    said = save(live, tmp_path / "item")
    assert said.captured.grade == "partial", kind
    assert word in str(said.captured.reasons)
    again = ResumableLoader(factory)
    BACKEND.load(tmp_path / "item", target=again, context=context(tmp_path / "item", said))
    assert save(again, tmp_path / "again").captured == said.captured


class Holding(Numbers):
    def __init__(self, rng: Any) -> None:
        self.transforms = [{"noise": rng}]


@pytest.mark.parametrize(
    "rng",
    [random.Random(1), np.random.RandomState(1), np.random.default_rng(1), seeded()],
    ids=lambda rng: type(rng).__name__,
)
def test_generators_inside_the_dataset_come_back(tmp_path: Path, rng: Any) -> None:
    live = ResumableLoader(loader(Holding(rng)))
    next(live)
    before = repr(live.place().position.now.generators)
    said = save(live, tmp_path / "item")
    draw = {"Random": "random", "Generator": "random", "RandomState": "random_sample"}[type(rng).__name__]
    torch.rand(1, generator=rng) if isinstance(rng, torch.Generator) else getattr(rng, draw)()
    assert repr(live.place().position.now.generators) != before
    back = ResumableLoader(loader(Holding(rng)))
    BACKEND.load(tmp_path / "item", target=back, context=context(tmp_path / "item", said))
    next(back)
    assert repr(back.place().position.now.generators) == before


def test_a_sampler_that_gives_another_order_is_said_at_save_and_goes_on_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = ResumableLoader(loader(sampler=Restless()))
    drive(live, 3)
    said = save(live, tmp_path / "item")
    assert said.captured.grade == "partial"
    assert "another order at each pass" in str(said.captured.reasons)
    back = ResumableLoader(loader(sampler=Restless()))
    BACKEND.load(tmp_path / "item", target=back, context=context(tmp_path / "item", said))
    assert len(drive(back, 2)) == 2
    assert (back.epoch, back.batches) == (0, 5)
    assert "as the save said" in caplog.text


def test_a_sampler_that_is_another_one_now_is_refused_at_the_first_batch(tmp_path: Path) -> None:
    live = ResumableLoader(loader(sampler=Fixed(3)))
    drive(live, 3)
    said = save(live, tmp_path / "item")
    assert said.captured.grade == "complete"
    back = ResumableLoader(loader(sampler=Fixed(7)))
    BACKEND.load(tmp_path / "item", target=back, context=context(tmp_path / "item", said))
    state = torch.get_rng_state()
    for _ in range(2):  # nor does asking again help
        with pytest.raises(BackendError, match="other indices"):
            next(back)
    assert torch.equal(torch.get_rng_state(), state)


class Fixed(tud.Sampler[int]):
    def __init__(self, stride: int) -> None:
        self.stride = stride

    def __len__(self) -> int:
        return SIZE

    def __iter__(self) -> Iterator[int]:
        return iter([index * self.stride % SIZE for index in range(SIZE)])


@pytest.mark.parametrize("workers", [0, 1])
def test_going_back_leaves_the_global_generators_alone(tmp_path: Path, workers: int) -> None:
    live = ResumableLoader(loader(shuffle=True, num_workers=workers))
    drive(live, 3)
    said = save(live, tmp_path / "item")
    back = ResumableLoader(loader(shuffle=True, num_workers=workers))
    torch.manual_seed(7), random.seed(7), np.random.seed(7)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    BACKEND.load(tmp_path / "item", target=back, context=context(tmp_path / "item", said))
    assert back.pending
    next(back)
    assert not back.pending
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_proof_without_a_factory_at_save_says_what_is_missing(tmp_path: Path, workers: int) -> None:
    live = ResumableLoader(loader(shuffle=True, num_workers=workers))
    drive(live, 2)
    said = save(live, tmp_path / "item")
    proof = BACKEND.prove(
        tmp_path / "item", context=context(tmp_path / "item", said, lambda: loader(shuffle=True, num_workers=workers))
    )
    # Batches that a worker has fetched ahead need no second loader.
    assert proof.verdict == ("same" if workers else "unproven")
    assert workers or "second loader" in (proof.reason or "")


class Mixed(Numbers):
    def __init__(self, offset: float) -> None:
        self.offset = offset

    def __getitem__(self, index: int) -> Any:
        value = torch.tensor(index + self.offset)
        kinds = {"half": value.bfloat16(), "complex": value.to(torch.complex64).conj(), "none": torch.empty(0)}
        return {**kinds, "text": f"item {index}", "pair": (index, value > 3)}


def test_batches_of_every_structure_are_told_apart_in_the_proof(tmp_path: Path) -> None:
    live = ResumableLoader(lambda: loader(Mixed(0.5)))
    next(live)
    said = save(live, tmp_path / "item")
    verdicts = [
        BACKEND.prove(tmp_path / "item", context=context(tmp_path / "item", said, lambda o=o: loader(Mixed(o)))).verdict
        for o in (0.5, 0.75)
    ]
    assert verdicts == ["same", "differs"]
    assert "last_batch" in BACKEND.digests(live)


def test_an_error_in_a_worker_comes_where_training_would_have_met_it(tmp_path: Path) -> None:
    live = ResumableLoader(loader(Broken(), num_workers=1))
    next(live)
    save(live, tmp_path / "item")
    next(live)
    with pytest.raises(ValueError, match="item 8"):
        next(live)


class Broken(Numbers):
    def __getitem__(self, index: int) -> int:
        if index == 8:
            raise ValueError("item 8")
        return index


def test_a_loader_without_a_length_or_a_data_loader_is_told_apart() -> None:
    with pytest.raises(UsageError, match="not a torch DataLoader"):
        ResumableLoader(lambda: [1, 2])
    with pytest.raises(UsageError, match="IterableDataset has none"):
        ResumableLoader(lambda: loader(Stream(None)), skip="sampler")
    with pytest.raises(UsageError, match="with workers"):
        ResumableLoader(lambda: loader(num_workers=1), skip="sampler")
    assert not BACKEND.can_save(loader())
    assert len(ResumableLoader(loader)) == 5


def test_a_loader_that_is_dropped_is_freed_at_once() -> None:
    """Torch waits five seconds for each worker of a loader that only the garbage collector finds."""
    loader = ResumableLoader(tud.DataLoader(Numbers(), 4, num_workers=1, persistent_workers=True))
    next(loader)
    loader.place()
    wrapped = weakref.ref(loader.loader)
    gc.disable()
    try:
        del loader
        assert wrapped() is None
    finally:
        gc.enable()
