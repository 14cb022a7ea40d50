"""SIGKILL wherever an operation touches the disk: nothing is lost, nothing half is listed, and a rerun works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Fewer would mean that the counting is broken: an undelete of a folder is one rename, a save is a great deal.
LEAST_POINTS = {
    "save": 40,
    "first-save": 40,
    "save-files": 40,
    "save-over-damaged": 40,
    "save-replacing": 40,
    "adopt-in-place": 15,
    "prune": 30,
    "prune-flat": 30,
    "prune-flat-then-undelete": 30,
    "undelete": 5,
    "undelete-flat": 10,
    "pin-and-tag": 15,
    "restore": 25,
}


@pytest.mark.parametrize("scenario", LEAST_POINTS)
def test_killed_at_any_point(scenario: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_points.py")
    command = [sys.executable, str(script), scenario, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == [], f"{result}\n{done.stderr[-4000:]}"
    assert result["points"] >= LEAST_POINTS[scenario]
