"""SIGKILL at any moment of a save that goes on behind: nothing that was listed is lost, and nothing half is listed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("times", [8, pytest.param(100, marks=pytest.mark.matrix)])
def test_killed_at_any_moment(times: int, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_behind.py")
    command = [sys.executable, str(script), str(tmp_path), str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(result)
    assert result["broken"] == [], done.stderr[-4000:]
    assert result["killed"] >= 0.9 * times
