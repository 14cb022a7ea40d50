"""SIGKILL wherever an operation touches the disk: nothing is lost, nothing half is listed, and a rerun works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Every how many points to try, and how many there must be: fewer would mean that the counting is broken (an undelete
# of a folder is one rename, a save is a great deal). The longest ones are tried at every third or fourth point.
SCENARIOS = {
    "save": (1, 40),
    "save-behind": (3, 17),
    "save-sharing": (4, 15),
    "first-save": (3, 20),
    "save-files": (3, 20),
    "save-over-damaged": (3, 20),
    "save-replacing": (3, 20),
    "save-replacing-by-two-renames": (4, 15),
    "adopt-in-place": (1, 15),
    "adopt": (3, 13),
    "prune-adopted": (3, 15),
    "prune-adopted-then-undelete": (3, 15),
    "undelete-adopted": (2, 4),
    "prune": (2, 20),
    "prune-flat": (3, 17),
    "prune-flat-then-undelete": (3, 20),
    "undelete": (1, 5),
    "undelete-flat": (1, 10),
    "pin-and-tag": (1, 15),
    "restore": (2, 15),
    "copy": (4, 20),
    "save-mirrored": (5, 20),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_point(scenario: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_points.py")
    stride, least = SCENARIOS[scenario]
    command = [sys.executable, str(script), scenario, str(tmp_path), str(stride)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(f"{scenario}: {result['points']} points")
    assert result["broken"] == [], f"{result}\n{done.stderr[-4000:]}"
    assert result["points"] >= least
