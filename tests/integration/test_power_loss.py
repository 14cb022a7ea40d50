"""The power fails anywhere in an operation: what was committed is whole, nothing half is listed, and a rerun works."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import disk_calls
import pytest

pytestmark = pytest.mark.skipif(disk_calls.COMPILER is None, reason="needs a C compiler")

# How many different states are judged at most, and how many there must be: fewer would mean that the recording or the
# model is broken. An undelete is one rename; a copy of three checkpoints is a hundred calls.
SCENARIOS = {
    "save": (1000, 150),
    "save-behind": (1000, 150),
    "save-sharing": (1000, 280),
    "first-save": (1000, 160),
    "first-save-in-given-folder": (1000, 150),
    "first-save-after-a-kill": (1000, 215),
    "save-files": (1000, 85),
    "save-over-damaged": (1000, 160),
    "save-replacing": (1000, 120),
    "save-replacing-by-two-renames": (1000, 125),
    "adopt": (1000, 17),
    "adopt-just-written": (1000, 55),
    "adopt-first": (1000, 105),
    "adopt-elsewhere": (1000, 180),
    "adopt-in-place": (1000, 18),
    "adopt-in-place-just-written": (1000, 50),
    "prune": (1000, 8),
    "prune-adopted": (1000, 20),
    "prune-adopted-then-undelete": (1000, 20),
    "prune-flat": (1000, 20),
    "prune-flat-then-undelete": (1000, 20),
    "purge": (1000, 75),
    "purge-adopted": (1000, 45),
    "undelete": (1000, 4),
    "undelete-adopted": (1000, 12),
    "undelete-flat": (1000, 12),
    "pin-and-tag": (1000, 11),
    "unpin": (1000, 6),
    "restore": (1000, 75),
    "copy": (300, 300),
    "copy-to-given-folder": (150, 150),
    "save-mirrored": (350, 350),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: the disk is a model, and what is judged need not be flushed."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


def judged(scenario: str, folder: Path, most: int, *without: str) -> dict[str, object]:
    command = disk_calls.preloaded("power_points.py", folder, scenario, str(folder), str(most), *without)
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    result = dict(json.loads(done.stdout))
    print(f"{scenario}: {result['judged']} of {result['found']} states, {result['calls']}")
    if not without:
        assert result["broken"] == [], f"{result}\n{done.stderr[-4000:]}"
    return result


@pytest.mark.parametrize("scenario", ["first-save-in-given-folder", "adopt-first", "purge"])
def test_some_of_what_a_power_cut_may_leave(scenario: str, folder: Path) -> None:
    assert judged(scenario, folder, 30)["found"] >= SCENARIOS[scenario][1]


@pytest.mark.matrix
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_all_that_a_power_cut_may_leave(scenario: str, folder: Path) -> None:
    most, least = SCENARIOS[scenario]
    assert judged(scenario, folder, most)["judged"] >= least


def test_they_are_thousands() -> None:
    assert sum(least for _, least in SCENARIOS.values()) >= 3000


@pytest.mark.parametrize("kind", ["files", "folders"])
def test_without_its_flushes_a_save_would_not_last(kind: str, folder: Path) -> None:
    assert judged("save", folder, 20, kind)["broken"]
