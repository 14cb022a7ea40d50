"""Agents that older formats of the ``sb3`` backend wrote are put back, whatever their digests were taken of."""

import shutil
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from ckptkit import CheckpointStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def agent(seed: int) -> Any:
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]))
    return PPO("MlpPolicy", env, n_steps=32, batch_size=16, n_epochs=2, seed=seed)


def test_an_agent_of_format_1_is_put_back_and_trains_on(tmp_path: Path) -> None:
    store = CheckpointStore(shutil.copytree(Path(__file__).parent / "frozen_sb3" / "format-1", tmp_path / "store"))
    assert store.verify().exit_code == 0
    model = agent(5)
    model.gae_lambda = 0.5
    restored = store.restore("old/run", {"agent": model})
    assert restored is not None
    assert (model.num_timesteps, model.env.obs_rms.count) == (64, pytest.approx(65, abs=1e-3))
    assert restored.items["agent"].told == ["gae_lambda: this program sets 0.5, 0.95 was saved; this program's is used"]
    restored.items["agent"].learn(96)
    assert model.num_timesteps == 96
