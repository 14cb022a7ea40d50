"""The newest checkpoints come first, the same as a scan finds, and none is looked at before its turn."""

import itertools
from pathlib import Path

import pytest

from ckptkit.layouts import Listing
from ckptkit.storage import Entry, open_storage
from ckptkit.storage.local import scanning
from ckptkit.storage.newest_first import LastFirst, newest_first, newest_of
from ckptkit.testing.memory_storage import MemoryStorage

MADE = (
    "run/step-00000003/manifest.json",
    "run/step-00000010/manifest.json",
    "run/step-00000009/rng/rng.json",  # an interrupted copy
    "run/step-7/manifest.json",
    "run/step-00000007/manifest.json",  # the same step
    "run/step-8/.metadata",  # PyTorch's, with a run in it
    "run/step-8/inner/step-1/manifest.json",
    "run/checkpoint-12/manifest.json",
    "run/checkpoint-13/model.bin",
    "run/final/manifest.json",  # no step
    "run/ep000005.manifest.json",
    "run/last.ckpt@11.manifest.json",
    "run/last.ckpt",
    "run/gone.ckpt@14.manifest.json",
    "run/.ckptkit/trash/step-00000099/manifest.json",
    "run/below/step-2/manifest.json",
    "step-4/manifest.json",
    "other/deep/er/step-1/manifest.json",
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for path in MADE:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
    return tmp_path


@pytest.mark.parametrize("run", ["run", "run/below", ".", "other", "other/deep/er", "no/such"])
def test_they_are_what_a_scan_finds_in_the_other_order(store: Path, run: str) -> None:
    storage = open_storage(str(store))
    assert list(newest_of(storage, run)) == list(storage.scan(run))[::-1]


def test_of_the_whole_store_every_run_is_found(store: Path) -> None:
    storage = open_storage(str(store))
    found = {run: list(entries) for run, entries in newest_first(storage)}
    scanned = {run: list(several)[::-1] for run, several in itertools.groupby(storage.scan(), lambda at: at.run)}
    assert "run/step-8/inner" in scanned
    del scanned["run/step-8/inner"]  # no run can have this name
    assert {run: entries for run, entries in found.items() if entries} == scanned


def test_of_thousands_only_those_are_looked_at_that_are_asked_for() -> None:
    asked: list[str] = []

    def has(path: str) -> bool:
        asked.append(path)
        return True

    names = [f"step-{step:08d}" for step in range(5000)]
    found, deeper = scanning._newest_first(Listing([*names, "inner"], ["notes.txt"], has))
    asked.clear()
    assert [name for name, _ in itertools.islice(found, 2)] == ["step-00004999", "step-00004998"]
    assert asked == ["step-00004999/manifest.json", "step-00004998/manifest.json"]
    assert deeper == []


def test_folders_that_hold_runs_are_told(store: Path) -> None:
    listing = Listing(["step-1", "b", "a", ".git", "c-2"], [], lambda path: path.startswith(("step-1/man", "c-2/man")))
    found, deeper = scanning._newest_first(listing)
    assert ([name for name, _ in found], deeper) == (["c-2", "step-1"], ["a", "b"])


def test_they_can_be_gone_through_twice_and_at_the_same_time(store: Path) -> None:
    storage = open_storage(str(store))
    asked: list[Entry] = []
    once = LastFirst(at for at in reversed(list(storage.scan("run"))) if not asked.append(at))  # type: ignore[func-returns-value]
    one, other = iter(once), iter(once)
    first, second = next(one), next(other)
    assert (first, [next(other), next(one)]) == (second, asked[1:] * 2)
    assert len(asked) == 2
    assert list(once) == list(storage.scan("run"))[::-1] == list(once)


def test_a_store_that_cannot_is_scanned() -> None:
    storage = MemoryStorage()
    storage.objects.put(dict.fromkeys(MADE, b"{}"))
    for run in ("run", ".", "other/deep/er"):
        assert list(newest_of(storage, run)) == list(storage.scan(run))[::-1]
