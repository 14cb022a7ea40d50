"""LeRobot, trained by its own `lerobot-train`: found, judged, verified, and resumed by it from the printed command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import lerobot_train
import lerobot_trainings
import pytest
from adopting import adopt, states
from command_line import inside, typed
from foreign_files import tree
from looked_at import judged, told

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all trainings."""
    if not lerobot_train.PACKAGES.exists():
        pytest.fail(f"{lerobot_train.PACKAGES} is missing: run `make .lerobot/.ready`")
    root = tmp_path_factory.mktemp("trained")
    command = [sys.executable, lerobot_trainings.__file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def test_what_its_program_wrote_is_complete_and_tells_its_step(trained: Path) -> None:
    folder = trained / "whole/out/run/checkpoints"
    for name, step in (("000004", 4), ("000008", 8)):
        assert judged(folder, name).state == "complete"
        one = told(folder, name)
        assert (one.step, one.step_from, one.doubts) == (step, "step in training_state/training_step.json", ())


def test_it_goes_on_from_the_printed_command(trained: Path, tmp_path: Path) -> None:
    folder = trained / "whole/out/run/checkpoints"
    assert adopt(folder)[0] == 0
    assert CheckpointStore(folder).verify().exit_code == 0
    program = tmp_path / "lerobot-train"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{lerobot_train.__file__}" "$@"\n')
    program.chmod(0o755)
    printed = inside("resume-cmd", ".@4", "--", f"--output_dir={tmp_path}/on", store=folder)
    said = typed(printed.stdout, first=tmp_path, HF_HOME=str(trained / "home"))
    steps = [word for word in said.split() if word.startswith("step:")]
    assert steps == ["step:5", "step:6", "step:7", "step:8"]
    on = tmp_path / "on/checkpoints/000008/training_state"
    assert json.loads((on / "training_step.json").read_text()) == {"step": 8}
    assert updates(on / "optimizer_state.safetensors") == {8.0}, "four of them were before it was interrupted"


def test_pruned_and_taken_back_all_of_it_is_the_same_and_last_is_kept(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained / "whole/out/run/checkpoints", tmp_path / "checkpoints", symlinks=True)
    adopt(folder)
    before = tree(folder)
    assert inside("prune", ".", "--keep-last", "1", "--apply", store=folder).returncode == 0
    assert [at.step for at in CheckpointStore(folder).locate()] == [8]
    assert (folder / "last").resolve() == (folder / "000008").resolve()
    assert inside("undelete", ".@4", store=folder).returncode == 0
    assert tree(folder) == before


@pytest.mark.parametrize("name", lerobot_trainings.KILLED)
def test_what_was_killed_in_its_save_is_never_resumed_from_and_the_one_before_it_is(trained: Path, name: str) -> None:
    folder = trained / name / "out/run/checkpoints"
    assert states(adopt(folder)[1]) == {"000004": ("complete", "adopted"), "000008": ("incomplete", "left")}
    assert "/000004/pretrained_model/" in inside("resume-cmd", ".", store=folder).stdout


def updates(optimizer: Path) -> set[float]:
    """Return how many updates the optimizer counts, over all parameters."""
    from safetensors.torch import load_file

    return {float(value) for name, value in load_file(optimizer).items() if name.endswith("/step")}
