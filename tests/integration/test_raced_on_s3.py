"""Processes that race for one store on a real S3 server: one wins, the others are told, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from object_servers import Server

ROUNDS = {"saves": 100, "replaces": 15, "everything": 15, "purges": 10, "marks": 12, "takeover": 1}


def race(name: str, rounds: int, s3: Server, folder: Path) -> None:
    script = Path(__file__).with_name("s3_races.py")
    paths = os.pathsep.join(path for path in (str(script.parent.parent), os.environ.get("PYTHONPATH")) if path)
    command = [sys.executable, str(script), name, s3.place(), str(folder), str(rounds)]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROUNDS)
def test_a_race_of_processes_loses_nothing(name: str, s3: Server, tmp_path: Path) -> None:
    race(name, ROUNDS[name], s3, tmp_path)


@pytest.mark.parametrize("name", ["saves", "takeover"])
def test_a_short_race_of_processes_loses_nothing(name: str, s3: Server, tmp_path: Path) -> None:
    race(name, 4, s3, tmp_path)


def test_there_are_as_many_races_as_the_documents_say() -> None:
    assert ROUNDS["saves"] >= 100
    assert sum(ROUNDS.values()) >= 150
