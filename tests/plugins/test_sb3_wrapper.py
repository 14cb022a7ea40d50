"""The wrapper of `checkpointable`: an ordinary class, which checkpoints know by the name that it had first."""

import pickle
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from ckptkit_sb3 import Sb3Backend, checkpointable
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from ckptkit.backend import LoadContext, SaveContext
from ckptkit.errors import BackendError

FIRST_NAME = "ckptkit_sb3.wrapper._build_class.<locals>.Checkpointable"


def cart_pole() -> gymnasium.Env:
    return gymnasium.make("CartPole-v1")


def agent(**options: bool) -> PPO:
    return PPO("MlpPolicy", DummyVecEnv([checkpointable(cart_pole, **options)]), n_steps=64, seed=1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    Sb3Backend().save(agent(replay=True).learn(64), folder, context=SaveContext(step=64, item="agent"))
    return folder


def load(folder: Path, target: PPO) -> object:
    return Sb3Backend().load(folder, target=target, context=LoadContext(files=sorted(p.name for p in folder.iterdir())))


def test_a_wrapped_environment_is_pickled_and_goes_on_as_it_was() -> None:
    env = checkpointable(cart_pole, replay=True)()
    env.reset(seed=3)
    env.step(1)
    copy = pickle.loads(pickle.dumps(env))
    assert type(copy) is type(env)
    assert np.array_equal(copy.step(0)[0], env.step(0)[0])
    assert copy.ckptkit_log == env.ckptkit_log == [1, 0]


def test_a_checkpoint_names_the_wrapper_as_those_before_it_did(saved: Path) -> None:
    text = (saved / "state.json").read_text()
    assert f'"{FIRST_NAME}"' in text
    assert "checkpointable_wrapper" not in text
    assert load(saved, agent(replay=True)) is not None


def test_an_environment_without_the_wrapper_is_still_another_one(saved: Path) -> None:
    with pytest.raises(BackendError, match="the environment is"):
        load(saved, PPO("MlpPolicy", DummyVecEnv([cart_pole]), n_steps=64, seed=1))
