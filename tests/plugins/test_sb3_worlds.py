"""Trainings in environments with state in every place go on in a new process as the old process itself went on."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sb3_worlds

pytestmark = pytest.mark.matrix  # two processes, each with all trainings


def run(store: Path) -> Mapping[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", sb3_worlds.__file__, store], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Train each to its end, saving once on the way; then go on from there in another process."""
    store = tmp_path_factory.mktemp("worlds")
    return run(store), run(store)


@pytest.mark.parametrize("name", [name for name in sb3_worlds.TRAININGS if name not in sb3_worlds.LOST])
def test_a_new_process_goes_on_as_the_old_one_did(name: str, both: Any) -> None:
    straight, resumed = both[0][name], both[1][name]
    assert straight["grades"] == ["complete"]
    assert "fresh start" in str(straight["said"])
    assert resumed["said"] == []
    assert resumed["digests"] == straight["digests"]


@pytest.mark.parametrize("name", sb3_worlds.LOST)
def test_a_run_whose_environments_are_lost_is_resumed_all_the_same_and_that_is_told(name: str, both: Any) -> None:
    straight, resumed = both[0][name], both[1][name]
    assert straight["grades"] == ["partial"]
    assert resumed["steps"] == straight["steps"]
    assert "cannot save" in str(resumed["said"])
    assert "all environments are reset when it is resumed" in str(resumed["said"])
