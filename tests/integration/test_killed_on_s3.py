"""SIGKILL at any request to a real S3 server: nothing is lost, nothing half is listed, and the same again ends well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from object_servers import Server

MOMENTS = 9  # kills from outside, at any time
# How many kills at requests there must be: fewer would mean that the counting is broken.
SCENARIOS = {
    "save": 12,
    "save-behind": 12,
    "first-save": 12,
    "save-replacing": 8,
    "save-over-damaged": 14,
    "prune": 10,
    "prune-then-undelete": 10,
    "undelete": 6,
    "purge": 20,
    "prune-copies": 10,
    "prune-copies-then-undelete": 10,
    "undelete-copies": 8,
    "pin-and-tag": 8,
    "copy": 20,
    "save-mirrored": 10,
}
IN_PARTS = 12


def killed(scenario: str, stride: int, moments: int, s3: Server, folder: Path) -> dict[str, int]:
    """Return how many kills there were at requests, at other moments, and while a file went up in parts."""
    script = Path(__file__).with_name("s3_kills.py")
    command = [sys.executable, str(script), scenario, s3.place(), str(folder), str(stride), str(moments)]
    paths = os.pathsep.join(path for path in (str(script.parent.parent), os.environ.get("PYTHONPATH")) if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    print(f"{scenario}: {result}")
    assert result.pop("broken") == [], f"{result}\n{done.stderr[-4000:]}"
    assert result["moments"] == moments
    return result


@pytest.mark.matrix
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_any_request(scenario: str, s3: Server, tmp_path: Path) -> None:
    assert killed(scenario, 1, MOMENTS, s3, tmp_path)["points"] >= SCENARIOS[scenario]


@pytest.mark.matrix
def test_killed_while_a_file_goes_up_in_parts(s3: Server, tmp_path: Path) -> None:
    assert killed("save-large", 0, IN_PARTS, s3, tmp_path)["in parts"] >= 3


@pytest.mark.parametrize(("scenario", "stride"), [("save", 3), ("prune", 3), ("copy", 6)])
def test_killed_at_some_requests(scenario: str, stride: int, s3: Server, tmp_path: Path) -> None:
    assert killed(scenario, stride, 0, s3, tmp_path)["points"] >= 4


def test_there_are_as_many_kills_as_the_documents_say() -> None:
    assert sum(SCENARIOS.values()) + MOMENTS * len(SCENARIOS) + IN_PARTS >= 300
