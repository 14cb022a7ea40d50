"""The disk fails at the k-th call: one line with a hint, an exit code that is true, nothing lost, and a rerun works."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import disk_calls
import pytest

pytestmark = pytest.mark.skipif(disk_calls.COMPILER is None, reason="needs a C compiler")

# Every how many calls to try, and how many points there must be over all faults: fewer would mean that the counting is
# broken. 1 tries every call, ten thousand points in all; the dearer commands are tried at fewer.
COMMANDS = {
    "save": (7, 180),
    "replace": (21, 55),
    "prune": (14, 65),
    "undelete": (7, 30),
    "pin": (7, 20),
    "tag": (7, 20),
    "adopt": (35, 40),
    "copy": (28, 80),
    "verify": (14, 40),
}


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
@pytest.mark.parametrize("command", COMMANDS)
def test_many_calls_fail(folder: Path, command: str) -> None:
    stride, least = COMMANDS[command]
    assert tried(folder, stride, command)[command] >= least
