"""What a training loop changes between two batches, and what it leaves alone."""

from pathlib import Path
from typing import Any

import pytest
from ckptkit_torchdata import ResumableLoader, TorchDataBackend
from torch.utils.data import DataLoader, Sampler

from ckptkit.backend import LoadContext, SaveContext

BACKEND = TorchDataBackend()


class Lazy(Sampler):  # type: ignore[type-arg]
    """Looks at its seed for each index, and counts for itself how many it gave."""

    def __init__(self) -> None:
        self.seed, self.given = 3, 0

    def __len__(self) -> int:
        return 12

    def __iter__(self) -> Any:
        for index in range(12):
            self.given += 1
            yield (index + self.seed) % 12


def build() -> ResumableLoader:
    return ResumableLoader(lambda: DataLoader(list(range(12)), 3, sampler=Lazy()))


def drive(live: ResumableLoader, count: int) -> list[Any]:
    found = []
    while len(found) < count:
        try:
            found.append(next(live).tolist())
        except StopIteration:
            found.append("end")
    return found


def save(live: ResumableLoader, folder: Path) -> Any:
    folder.mkdir()
    return BACKEND.save(live, folder, context=SaveContext(0))


def resumed(folder: Path, said: Any) -> ResumableLoader:
    again = build()
    BACKEND.load(folder, target=again, context=LoadContext(sorted(f.name for f in folder.iterdir()), said.metadata))
    return again


def test_what_a_sampler_changes_of_itself_is_no_change_of_the_loops(tmp_path: Path) -> None:
    live = build()
    for step in range(7):
        drive(live, 1)
        assert save(live, tmp_path / str(step)).captured.grade == "complete"


def test_a_seed_set_after_an_earlier_save_of_the_epoch_is_told_and_not_refused(tmp_path: Path) -> None:
    live = build()
    drive(live, 1)
    assert save(live, tmp_path / "before").captured.grade == "complete"
    live.loader.sampler.seed = 8
    drive(live, 1)
    said = save(live, tmp_path / "after")
    assert said.captured.grade == "partial"
    assert "changed in the middle of the epoch" in said.captured.reasons[0]
    again = resumed(tmp_path / "after", said)
    assert len(drive(again, 3)) == 3
    assert again.loader.sampler.seed == 8


@pytest.mark.parametrize("batches", [0, 5])
def test_the_next_epoch_is_complete_again(tmp_path: Path, batches: int) -> None:
    live = build()
    drive(live, 2)
    live.loader.sampler.seed = 8
    drive(live, 3 + batches)
    said = save(live, tmp_path / "item")
    assert said.captured.grade == "complete"
    again = resumed(tmp_path / "item", said)
    assert drive(again, 6) == drive(live, 6)
