"""A state that does not fit its target is refused by name, and the target stays as it was."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from sb3_agents import AGENTS, BACKEND, common, envs, load, off, save
from stable_baselines3 import DQN, PPO, SAC, TD3

from ckptkit.backend import SavedItem
from ckptkit.errors import BackendError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, SavedItem]:
    agent = AGENTS["sac"](0)
    agent.learn(30)
    return tmp_path, save(agent, tmp_path)


def wide(seed: int) -> Any:
    return SAC("MlpPolicy", envs("Pendulum-v1"), **{**off(seed), "policy_kwargs": {"net_arch": [9]}})


MISFITS = {
    "algorithm": (lambda: TD3("MlpPolicy", envs("Pendulum-v1"), **off(0)), "the algorithm is"),
    "observation space": (lambda: PPO("MlpPolicy", "CartPole-v1", **common(0)), "the algorithm is"),
    "architecture": (lambda: wide(0), "shape"),
    "environments": (lambda: SAC("MlpPolicy", envs("Pendulum-v1", 2), **off(0)), "number of environments"),
    "wrappers": (lambda: SAC("MlpPolicy", envs("Pendulum-v1", norm=True), **off(0)), "wrapped as"),
    "buffer": (lambda: SAC("MlpPolicy", envs("Pendulum-v1"), **{**off(0), "buffer_size": 90}), "room for 90 rows"),
    "action noise": (
        lambda: SAC("MlpPolicy", envs("MountainCarContinuous-v0"), **off(0)),
        "the observation space is",
    ),
}


@pytest.mark.parametrize("what", MISFITS)
def test_a_target_of_another_build_is_refused_and_unchanged(what: str, saved: tuple[Path, SavedItem]) -> None:
    build, message = MISFITS[what]
    target = build()
    target.learn(25)
    before = BACKEND.digests(target)
    with pytest.raises(BackendError, match=message):
        load(*saved, target)
    assert BACKEND.digests(target) == before


def test_a_target_that_is_no_agent_is_refused(saved: tuple[Path, SavedItem]) -> None:
    with pytest.raises(BackendError, match="cannot be put into"):
        load(*saved, object())


def test_an_agent_without_an_environment_is_refused(saved: tuple[Path, SavedItem]) -> None:
    with pytest.raises(BackendError, match="no environment"):
        load(*saved)


def test_factories_build_the_agent(saved: tuple[Path, SavedItem]) -> None:
    by_model = load(*saved, model=lambda: AGENTS["sac"](4))
    by_env = load(*saved, env=lambda: gymnasium.make("Pendulum-v1"))
    assert by_model.model.num_timesteps == by_env.model.num_timesteps == 30


def test_an_env_factory_is_called_once_per_environment(tmp_path: Path) -> None:
    agent = AGENTS["a2c"](0)
    agent.learn(20)
    resumed = load(tmp_path, save(agent, tmp_path), env=lambda: gymnasium.make("CartPole-v1"))
    assert BACKEND.digests(resumed.model) == BACKEND.digests(agent)


def test_the_callback_belongs_to_its_agent(saved: tuple[Path, SavedItem], tmp_path: Path) -> None:
    from ckptkit_sb3 import CheckpointBoundary
    from sb3_agents import Saves

    saves = Saves(tmp_path / "inside")
    AGENTS["sac"](0).learn(60, callback=CheckpointBoundary(saves, every_steps=30))
    resumed = load(*saves.made[0], AGENTS["sac"](1))
    with pytest.raises(BackendError, match="another agent"):
        AGENTS["sac"](2).learn(10, callback=resumed.callback)


def test_an_attribute_that_cannot_be_said_lowers_the_grade(tmp_path: Path) -> None:
    agent = DQN("MlpPolicy", "CartPole-v1", buffer_size=50, **common(0))
    agent.counter = memoryview(b"state")
    item = save(agent, tmp_path)
    assert item.exactness.grade == "not-captured"
    assert "attributes.counter" in str(item.exactness.reason)
