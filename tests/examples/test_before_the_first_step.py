"""Every example trainer says before its first step that its folder cannot be written, in two lines and with exit 10."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = {
    "demo": ["demo/train.py", "--run", "demo/run", "--store"],
    "cot_rlds": ["cot_rlds/scripts/train.py", "--checkpoint-dir"],
    "gmm_data_state": ["gmm_data_state/train.py", "--experiment-dir"],
    "lerobot_policy": ["lerobot_policy/src/train.py", "--dataset_id", "ISdept/piper_arm", "--output_dir"],
    "sb3_trainer": ["sb3_trainer/training/trainer.py", "--checkpoint-dir"],
}
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("example", PROGRAMS)
def test_a_folder_that_cannot_be_written_is_told_before_training(example: str, tmp_path: Path) -> None:
    program, *words = PROGRAMS[example]
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "outputs" / "first"  # below a regular file: not even root can write there
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, EXAMPLES / program, *words, place]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 10, done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert "Traceback" not in done.stderr
    assert f"no checkpoint can be saved here ({tmp_path}/file: is a file, not a folder)" in error
    assert hint.startswith("  choose another folder")
    assert "loss" not in done.stdout
    assert "saved" not in done.stdout
