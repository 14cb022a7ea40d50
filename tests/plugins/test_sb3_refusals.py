"""A state that does not fit its target is refused by name, and the target stays as it was."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from sb3_agents import AGENTS, BACKEND, Told, common, envs, load, load_context, off, on, save
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

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
    assert item.captured.grade == "partial"
    assert "attributes.counter" in str(item.captured.reasons)


class Fragile(Told):
    """Breaks half-way where it takes its state back, as often as it was told to."""

    failures = 0

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        if self.failures:
            self.failures -= 1
            raise ArithmeticError("it broke half-way")


@pytest.mark.parametrize(("failures", "outcome"), [(1, "nothing was changed"), (9, "may be changed")])
def test_a_target_is_unchanged_when_one_of_its_environments_does_not_take_its_state(
    failures: int, outcome: str, tmp_path: Path
) -> None:
    agents = [A2C("MlpPolicy", DummyVecEnv([Fragile] * 2), **common(seed)) for seed in (0, 1)]
    for agent in agents:
        agent.learn(15)
    saved_agent, target = agents
    item = save(saved_agent, tmp_path, env=Fragile)
    assert item.captured.grade == "complete"
    target.env.envs[1].failures = failures
    before = BACKEND.digests(target)
    with pytest.raises(BackendError, match=f"it broke half-way.*{outcome}"):
        load(tmp_path, item, target)
    changed = [part for part, digest in BACKEND.digests(target).items() if digest != before[part]]
    assert changed == []  # also where it broke again, it had taken its old place by then


def test_an_env_factory_needs_to_know_nothing_of_normalization_and_monitors(tmp_path: Path) -> None:
    agent = PPO("MlpPolicy", VecNormalize(make_vec_env("Pendulum-v1", 2)), **on(0))
    agent.learn(64)
    item = save(agent, tmp_path)
    context = load_context(tmp_path, item, env=lambda: gymnasium.make("Pendulum-v1"))
    assert BACKEND.prove(tmp_path, context=context).verdict == "same"
