"""What real trainings left: judged, told, and refused where the training was killed in its save."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kept_by_trainers
import killed_in_save
import pytest
from looked_at import judged, states, told

pytestmark = pytest.mark.matrix
BACKUP = "epoch in training_metadata.json: no step is told"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kept") / "all"
    done = _run(kept_by_trainers, str(root))
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize(
    ("folder", "name", "step", "place", "counters", "metrics"),
    [
        ("hugging_face", "checkpoint-8", 8, "global_step in trainer_state.json", {"epoch": 4}, {"loss", "eval_loss"}),
        ("sharded", "checkpoint-8", 8, "global_step in trainer_state.json", {"epoch": 4}, {"loss"}),
        ("adapter", "checkpoint-8", 8, "global_step in trainer_state.json", {"epoch": 4}, {"loss"}),
        ("weights_only", "checkpoint-4", 4, "global_step in trainer_state.json", {"epoch": 2}, {"loss"}),
        ("accelerate/checkpoints", "checkpoint_1", 8, "the updates in optimizer.bin", {}, set()),
        ("lightning/copy", "epoch=1-step=4.ckpt", 4, "global_step in it", {"epoch": 1}, {"val_loss"}),
        ("lightning/copy", "last.ckpt", 4, "global_step in it", {"epoch": 1}, {"val_loss"}),
        ("lightning/link", "last.ckpt", 4, "global_step in it", {"epoch": 1}, {"val_loss"}),
        ("sb3", "rl_model_4_steps.zip", 4, "num_timesteps in it", {}, set()),
        ("sb3", "rl_model_8_steps.zip", 8, "num_timesteps in it", {}, {"eval/mean_reward"}),
        ("dcp", "step-5", 5, "its name", {}, set()),
        ("torch_file", "net_3.pt", 3, "epoch in it: no step is told", {"epoch": 3}, {"loss"}),
        ("tensorflow/tf", "ckpt-2.index", 100, "the variable step", {}, set()),
        ("tensorflow/tf", "plain-1.index", 1, "the variable save_counter", {}, set()),
        ("tensorflow/backup", "latest.weights.h5", 2, BACKUP, {"epoch": 2}, set()),
        ("tensorflow", "w02.weights.h5", 2, "the number in its name, which may count something else", {}, set()),
        ("orbax", "10", 10, "its name", {}, {"loss"}),
    ],
)  # fmt: skip
def test_a_finished_checkpoint_is_complete_and_tells_step_and_metrics(
    kept: Path, folder: str, name: str, step: int, place: str, counters: Any, metrics: set[str]
) -> None:
    assert judged(kept / folder, name).state == "complete"
    one = told(kept / folder, name)
    assert (one.step, one.step_from, one.counters, set(one.metrics), one.doubts) == (step, place, counters, metrics, ())


def test_the_metrics_are_the_values_that_were_given(kept: Path) -> None:
    assert told(kept / "lightning/copy", "epoch=0-step=2.ckpt").metrics == {"val_loss": 0.5}
    assert told(kept / "lightning/copy", "last.ckpt").metrics == {"val_loss": 0.25}
    assert told(kept / "orbax", "10").metrics == {"loss": 0.1}
    keras = next(name for name in os.listdir(kept / "tensorflow") if name.startswith("02-val_loss="))
    assert told(kept / "tensorflow", keras).metrics == {"val_loss": float(keras[12:18])}


def test_a_pipe_in_place_of_the_data_of_tensorflow_is_not_waited_for(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept / "tensorflow/tf", tmp_path / "tf")
    data = tmp_path / "tf" / "ckpt-2.data-00000-of-00001"
    data.unlink()
    os.mkfifo(data)
    one = told(tmp_path / "tf", "ckpt-2.index")
    assert (one.step, one.doubts) == (2, (f"{data.name}: there is no such file",))


@pytest.mark.parametrize(
    ("case", "whole", "half"),
    [
        ("hugging_face:model", "checkpoint-4", "checkpoint-8"),
        ("hugging_face:optimizer", "checkpoint-4", "checkpoint-8"),
        ("hugging_face:state", "checkpoint-4", "checkpoint-8"),
        ("lightning:write", "epoch=0-step=2.ckpt", None),  # it writes to another place, and moves
        ("lightning:move", "epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"),
        ("sb3:zip", "rl_model_4_steps.zip", "rl_model_8_steps.zip"),
        ("sb3:buffer", "rl_model_4_steps.zip", "rl_model_8_steps.zip"),
        ("sb3:between", "rl_model_4_steps.zip", "rl_model_8_steps.zip"),
        ("accelerate:optimizer", "step_4", "step_8"),
        ("dcp", "step-4", "step-8"),
        ("tensorflow", "ckpt-1.index", None),  # in the folder ckpt-2_temp, which is no checkpoint
        ("keras:zip", "m01.keras", "m02.keras"),
        ("keras:h5", "m01.weights.h5", "m02.weights.h5"),
        ("orbax", "4", "8.orbax-checkpoint-tmp"),
    ],
)
def test_what_a_killed_training_left_is_incomplete_and_the_older_one_is_complete(
    tmp_path: Path, case: str, whole: str, half: str | None
) -> None:
    done = _run(killed_in_save, case, str(tmp_path))
    assert done.returncode < 0, done.stderr
    assert states(tmp_path) == {whole: "complete"} | ({half: "incomplete"} if half else {})


def _run(program: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, program.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
