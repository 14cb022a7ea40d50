"""A program of LightningCLI goes on from the command that is printed: its config.yaml says that it is one."""

import os
import shutil
from pathlib import Path

import lightning_cli_training
import pytest
import torch
from adopting import adopt
from command_line import inside, typed

pytestmark = pytest.mark.matrix
SAVES = (
    "--trainer.callbacks=ModelCheckpoint --trainer.callbacks.every_n_train_steps=4 --trainer.callbacks.save_top_k=-1"
)
QUIET = "--trainer.accelerator=cpu --trainer.enable_progress_bar=false --trainer.enable_model_summary=false"


def test_it_goes_on_to_the_weights_of_the_training_that_was_never_interrupted(tmp_path: Path) -> None:
    shutil.copy(lightning_cli_training.__file__, tmp_path / "train.py")
    typed(f"python train.py fit --trainer.max_steps=8 {SAVES} {QUIET}", cwd=tmp_path)
    logs = tmp_path / "lightning_logs"
    assert adopt(logs)[0] == 0
    typed(inside("resume-cmd", "version_0/checkpoints@4", store=logs, cwd=tmp_path).stdout)
    whole, resumed = (
        torch.load(logs / f"version_{n}/checkpoints/epoch=1-step=8.ckpt", weights_only=True) for n in (0, 1)
    )
    assert os.listdir(logs / "version_1/checkpoints") == ["epoch=1-step=8.ckpt"], "it did not begin at step 0"
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name])
