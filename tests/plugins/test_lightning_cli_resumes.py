"""A program of LightningCLI goes on from the command that is printed: its config.yaml says that it is one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lightning_cli_training
import pytest
import torch
from adopting import adopt
from command_line import inside

pytestmark = pytest.mark.matrix
SAVES = (
    "--trainer.callbacks=ModelCheckpoint --trainer.callbacks.every_n_train_steps=4 --trainer.callbacks.save_top_k=-1"
)
QUIET = "--trainer.accelerator=cpu --trainer.enable_progress_bar=false --trainer.enable_model_summary=false"


def run(line: str, cwd: Path) -> None:
    """Run a line in a shell that finds this Python."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        line, shell=True, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_it_goes_on_to_the_weights_of_the_training_that_was_never_interrupted(tmp_path: Path) -> None:
    shutil.copy(lightning_cli_training.__file__, tmp_path / "train.py")
    run(f"python train.py fit --trainer.max_steps=8 {SAVES} {QUIET}", tmp_path)
    logs = tmp_path / "lightning_logs"
    assert adopt(logs)[0] == 0
    run(inside("resume-cmd", "version_0/checkpoints@4", store=logs, cwd=tmp_path).stdout, Path("/"))
    whole, resumed = (
        torch.load(logs / f"version_{n}/checkpoints/epoch=1-step=8.ckpt", weights_only=True) for n in (0, 1)
    )
    assert os.listdir(logs / "version_1/checkpoints") == ["epoch=1-step=8.ckpt"], "it did not begin at step 0"
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name])
