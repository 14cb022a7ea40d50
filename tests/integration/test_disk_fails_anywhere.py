"""The disk fails at the k-th call: one line with a hint, an exit code that is true, nothing lost, and a rerun works."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import disk_calls
import pytest

pytestmark = pytest.mark.skipif(disk_calls.COMPILER is None, reason="needs a C compiler")

# How many points there must be at every seventh call of each kind, over all faults: fewer would mean that the counting
# is broken. At every call there are seven times as many.
LEAST = {
    "save": 180, "replace": 180, "prune": 140, "undelete": 30, "pin": 30, "tag": 30, "adopt": 80, "copy": 200,
    "verify": 50,
}  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: it is the calls that fail, and not the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def tried(folder: Path, stride: int, *commands: str) -> dict[str, int]:
    """Return how many points were tried of each command; every law must hold at each."""
    command = disk_calls.preloaded("trouble_points.py", folder, str(folder), str(stride), *commands)
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: one["broken"] for name, one in told.items() if one["broken"]} == {}
    for name, one in told.items():
        print(f"{name}: {sum(one['tried'].values())} points, {one['tried']}")
    return {name: sum(one["tried"].values()) for name, one in told.items()}


def test_some_calls_fail(folder: Path) -> None:
    assert all(tried(folder, 97, "save", "prune", "undelete").values())


@pytest.mark.matrix
@pytest.mark.parametrize("command", LEAST)
def test_every_seventh_call_fails(folder: Path, command: str) -> None:
    assert tried(folder, 7, command)[command] >= LEAST[command]
