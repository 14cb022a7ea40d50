"""Hooks whose store is no folder: they save, and a second training of the same process goes on from there."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from ckptkit import CheckpointStore, Schedule, UsageError
from tests.plugins.hooks_story import RUN

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}/store"


def steps(url: str) -> list[int | None]:
    return [one.at.step for one in CheckpointStore(url).list(RUN)]


def trainer(hook: Any, folder: Path, max_steps: int) -> Any:
    import torch
    from transformers import Trainer, TrainingArguments

    from tests.plugins.test_hooks_hf import model

    rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 32, (16, 8))]
    more: dict[str, Any] = {"report_to": [], "disable_tqdm": True, "use_cpu": True}
    arguments = TrainingArguments(str(folder), max_steps=max_steps, save_steps=2, logging_steps=2, **more)
    return Trainer(model(), arguments, train_dataset=rows, callbacks=[hook])


@pytest.mark.filterwarnings("ignore")  # the frameworks'
@pytest.mark.parametrize("wait", [True, False])
def test_the_trainers_hook_copies_there_and_goes_on(url: str, tmp_path: Path, wait: bool) -> None:
    from ckptkit_hooks.hf import CheckpointCallback

    for until in (2, 4):
        hook = CheckpointCallback(url, RUN, wait=wait)
        trainer(hook, tmp_path / str(until), until).train(resume_from_checkpoint=hook.latest())
    assert steps(url) == [2, 4]


def test_the_trainers_hook_says_what_it_takes(url: str, tmp_path: Path) -> None:
    from ckptkit_hooks.hf import CheckpointCallback

    with pytest.raises(UsageError, match="so the run has no name"):
        trainer(CheckpointCallback(url), tmp_path, 2)


@pytest.mark.filterwarnings("ignore")
def test_that_of_stable_baselines_goes_on_without_waiting(url: str) -> None:
    from ckptkit_hooks.sb3 import CheckpointCallback
    from stable_baselines3 import PPO

    for until in (64, 128):
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=1, device="cpu")
        hook = CheckpointCallback(url, RUN, schedule=Schedule(every_steps=32), wait=False)
        hook.resume_or_start(model, total_timesteps=until)
        assert model.num_timesteps == until
    assert steps(url) == [32, 64, 96, 128]
