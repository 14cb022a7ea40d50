"""RL Zoo, trained by its own program: found, judged, verified, and resumed by it from the printed command."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import rl_zoo_trainings
from adopting import adopt, states
from command_line import inside, typed
from foreign_files import tree
from looked_at import told

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix
RUN = "ppo/Pendulum-v1_1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all trainings."""
    root = tmp_path_factory.mktemp("trained")
    command = [sys.executable, rl_zoo_trainings.__file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def data_of(agent: Path) -> dict[str, Any]:
    """Return what an agent says of itself."""
    with zipfile.ZipFile(agent) as archive:
        return dict(json.loads(archive.read("data")))


def test_what_its_program_wrote_is_complete_and_tells_how_it_was_trained(trained: Path) -> None:
    code, found, _ = adopt(trained / "whole/out", "--dry-run")
    assert (code, {one["state"] for one in found}) == (0, {"complete"})
    one = told(trained / "whole/out" / RUN, "rl_model_32_steps.zip")
    config = {"algo": "ppo", "env": "Pendulum-v1", "conf_file": "mine.yml", "n_timesteps": 64, "timesteps_left": 32}
    assert (one.step, one.step_from, one.config, one.doubts) == (32, "num_timesteps in it", config, ())
    assert set(one.metrics) == {"eval/mean_reward"}


def test_it_goes_on_from_the_printed_command_with_the_same_hyperparameters(trained: Path) -> None:
    place = trained / "whole"
    assert adopt(place / "out")[0] == 0
    assert CheckpointStore(place / "out").verify().exit_code == 0
    printed = inside("resume-cmd", f"{RUN}@32", "--", "-f", "again", store=place / "out", cwd=place)
    typed(printed.stdout)
    before, again = place / "out" / RUN, place / "again" / RUN
    updates = [data_of(agent)["_n_updates"] for agent in (before / "rl_model_32_steps.zip", again / "Pendulum-v1.zip")]
    assert updates == [10, 30], "two rollouts, each of ten epochs, after those of the agent that it went on from"
    settings = [(folder / "Pendulum-v1/config.yml").read_text() for folder in (before, again)]
    assert settings[0] == settings[1]


def test_pruned_and_taken_back_all_of_it_is_the_same(trained: Path, tmp_path: Path) -> None:
    out = shutil.copytree(trained / "whole/out", tmp_path / "out")
    adopt(out)
    before = tree(out)
    assert inside("prune", RUN, "--keep-last", "1", "--apply", store=out).returncode == 0
    assert [at.step for at in CheckpointStore(out).locate()] == [64]
    for step in (16, 32, 48):
        assert inside("undelete", f"{RUN}@{step}", store=out).returncode == 0
    assert tree(out) == before


@pytest.mark.parametrize(
    ("name", "half", "whole"),
    [("killed_periodic", "rl_model_32_steps.zip", 16), ("killed_last", "Pendulum-v1.zip", 64)],
)
def test_what_was_killed_in_its_save_is_never_resumed_from_and_the_one_before_it_is(
    trained: Path, name: str, half: str, whole: int
) -> None:
    found = adopt(trained / name / "out")[1]
    assert states(found)[half] == ("incomplete", "left")
    line = inside("resume-cmd", RUN, store=trained / name / "out", cwd=trained).stdout
    assert f"rl_model_{whole}_steps.zip" in line
