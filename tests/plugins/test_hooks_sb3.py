"""The SB3 hook, with PPO in processes of their own; this file is their training script as well."""

import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore, Retain, Schedule
from tests.plugins import hooks_story
from tests.plugins.hooks_story import RUN, Story

pytestmark = pytest.mark.slow

TOTAL = 256
ROLLOUT = 32
VARIANTS = {"DQN": 201}


def make(seed: int = 3, algorithm: str = "PPO") -> Any:
    import gymnasium
    import stable_baselines3

    env = gymnasium.make("CartPole-v1")
    if algorithm == "PPO":
        return stable_baselines3.PPO("MlpPolicy", env, n_steps=ROLLOUT, batch_size=16, n_epochs=2, seed=seed)
    return stable_baselines3.DQN("MlpPolicy", env, learning_starts=20, buffer_size=200, seed=seed)


def train(store: Path, at_step: Callable[[int], None], variant: str) -> str:
    import torch
    from ckptkit_hooks.sb3 import CheckpointCallback
    from stable_baselines3.common.callbacks import BaseCallback

    class Tell(BaseCallback):
        def _on_step(self) -> bool:
            at_step(self.model.num_timesteps)
            return True

    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    hook = CheckpointCallback(
        store,
        RUN,
        schedule=Schedule(every_steps=64, every_episodes=6 if variant else None),
        retain=Retain(last=2, best=1, metric="ep_rew_mean", mode="max"),
        wait=hooks_story.waits(),
    )
    model = hook.resume_or_start(make(algorithm=variant or "PPO"), TOTAL, callback=Tell())
    hasher = hashlib.sha256(str((model.num_timesteps, model._last_obs.tolist())).encode())
    for value in model.policy.state_dict().values():
        hasher.update(value.numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("sb3")
    return hooks_story.tell(__file__, place, kill_at=150, term_at=170, variants=VARIANTS)


def test_a_killed_and_resumed_run_ends_like_one_that_was_never_interrupted(story: Story) -> None:
    hooks_story.killed_without_a_word(story)
    hooks_story.the_same_end(story)


def test_a_damaged_newest_checkpoint_is_skipped_with_the_reason(story: Story) -> None:
    hooks_story.fell_back(story, to=64)


def test_sigterm_saves_first_and_ends_with_143(story: Story) -> None:
    hooks_story.saved_first(story, at=171)


def test_only_the_last_and_the_best_are_kept(story: Story) -> None:
    assert len(story.finished.steps) in (2, 3)
    assert story.finished.steps[-1] == 256


def test_everything_that_was_saved_verifies_and_is_graded_exact(story: Story) -> None:
    store = CheckpointStore(story.store)
    assert store.verify().exit_code == 0
    assert {listed.summary.grade for listed in store.list() if listed.summary} == {"complete"}


def test_a_run_whose_saves_go_on_behind_ends_like_one_that_waits_for_them(story: Story) -> None:
    assert story.behind == ("same", "complete")


@pytest.mark.matrix
def test_a_run_that_is_killed_while_its_saves_go_on_behind_comes_to_the_same_end(story: Story) -> None:
    hooks_story.killed_behind(story, __file__, kill_at=200)


def test_off_policy_training_is_stopped_and_resumed_alike(story: Story) -> None:
    assert story.variants == {"DQN": ("same", "complete")}


if __name__ == "__main__":
    hooks_story.main(train)
