"""Many processes at one store: what each was told to be committed is there once, and no reader ever sees damage."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

WAYS = ("save", "prune", "undelete", "tag", "adopt", "listed", "verify")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: more is done there in the same time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def crowd(folder: Path, processes: int, seconds: float) -> dict[str, int]:
    """Return what was done, and how often; every law must have held."""
    script = Path(__file__).with_name("crowd.py")
    command = [sys.executable, script, folder, str(processes), str(seconds), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"{processes} processes, {seconds} s: {told}")
    assert told["broken"] == [], done.stderr
    assert told["committed"] == told["there"]
    return dict(told["did"]) | {"committed": told["committed"], "pinned": told["pinned"]}


def test_a_few_processes_do_not_harm_each_other(folder: Path) -> None:
    assert crowd(folder, 4, 2)["committed"] > 4


@pytest.mark.matrix
def test_32_processes_do_not_harm_each_other_for_a_minute(folder: Path) -> None:
    did = crowd(folder, 32, 60)
    assert all(did.get(way, 0) > 0 for way in WAYS), did
    assert did["committed"] > 32
