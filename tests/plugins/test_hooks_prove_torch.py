"""Runs of Trainer and Lightning prove themselves: a sound one, and one whose state nobody can see; also the script."""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import Schedule
from tests.plugins import test_hooks_hf_state as hf
from tests.plugins import test_hooks_lightning_state as lightning

pytestmark = pytest.mark.matrix

FRAMEWORKS = ("hf", "lightning")
STEPS = 6


def train(framework: str, kind: str, place: Path) -> None:
    """Train with a callback that, if hidden, changes the optimizer by a count that no hook can reach."""
    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = iter(range(1000))

    def change(optimizer: Any) -> None:
        if kind == "hidden":
            optimizer.param_groups[0]["eps" if framework == "hf" else "dampening"] = next(count) / 100

    resume = [sys.executable, __file__, framework, kind, str(place)]
    (_hf if framework == "hf" else _lightning)(place, resume, change)


def _hf(place: Path, resume: list[str], change: Any) -> None:
    from ckptkit_hooks.hf import CheckpointCallback
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Changing(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            change(others["optimizer"])

    hook = CheckpointCallback(place / "store", "r", resume=resume)
    arguments = TrainingArguments(
        output_dir=str(place / "out"), max_steps=STEPS + 9, save_steps=STEPS, per_device_train_batch_size=2,
        report_to=[], disable_tqdm=True, use_cpu=True, remove_unused_columns=False,
    )  # fmt: skip
    callbacks = [Changing(), hook]
    trainer = Trainer(hf.model("module"), arguments, train_dataset=hf.dataset("count"), callbacks=callbacks)
    trainer.train(resume_from_checkpoint=hook.latest())


def _lightning(place: Path, resume: list[str], change: Any) -> None:
    from ckptkit_hooks.lightning_ import CheckpointCallback
    from lightning.pytorch import Callback, Trainer

    class Changing(Callback):
        def on_train_batch_start(self, trainer: Any, *others: Any) -> None:
            change(trainer.optimizers[0])

    hook = CheckpointCallback(place / "store", "r", schedule=Schedule(every_steps=STEPS), resume=resume)
    trainer = Trainer(
        max_steps=STEPS + 9, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        callbacks=[Changing(), hook], use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(
        lightning.module("a module that changes"), lightning.data("a dataset that counts"), ckpt_path=hook.latest()
    )


@pytest.mark.parametrize("kind", ["sound", "hidden"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_rehearsal_confirms_a_sound_run_and_finds_a_hidden_count(tmp_path: Path, framework: str, kind: str) -> None:
    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "CKPTKIT_BACKGROUND": "never", "HF_HUB_OFFLINE": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    trained = run(sys.executable, __file__, framework, kind, str(tmp_path))
    assert trained.returncode == 0, trained.stderr
    before = sorted(path.name for path in (tmp_path / "out").glob("*")) if framework == "hf" else []
    verify = ("--store", str(tmp_path / "store"), "verify", f"r@{STEPS}", "--level", "resume", "--steps", "8")
    verified = run(str(Path(sys.executable).with_name("ckptkit")), *verify)
    text = verified.stdout + verified.stderr
    assert verified.returncode == (0 if kind == "sound" else 1), text
    assert "optimizer" in text or kind == "sound"
    assert before == (sorted(path.name for path in (tmp_path / "out").glob("*")) if framework == "hf" else [])


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
