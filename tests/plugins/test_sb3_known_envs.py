"""Environments whose state lives in a C library come back exactly: MuJoCo, the Arcade Learning Environment, Box2D."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from ckptkit_sb3 import checkpointable, single_env
from sb3_agents import Saves, common, go_on, load, train
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import DummyVecEnv

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _log_of_mujoco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the current folder."""
    monkeypatch.chdir(tmp_path)


def resumes_exactly(factory: Any, folder: Path, **more: Any) -> tuple[str, str, bool]:
    """Return grade, strategy, and whether the weights of a resumed run end equal."""

    def agent(seed: int) -> Any:
        return A2C("MlpPolicy", DummyVecEnv([factory]), **common(seed))

    saves = Saves(folder)
    expected = train(agent(1), saves, total=90, every=42, **more)
    place, item = saves.made[-1 if more else 0]
    same = go_on(load(place, item, agent(5)), 90)["policy"] == expected["policy"]
    return item.captured.grade, item.metadata["environments"][0]["strategy"], same


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Ant-v5", "Humanoid-v5"])
def test_a_mujoco_simulation_goes_on_exactly(name: str, tmp_path: Path) -> None:
    assert resumes_exactly(lambda: gymnasium.make(name), tmp_path) == ("complete", "mujoco", True)


def test_an_atari_emulator_goes_on_exactly(tmp_path: Path) -> None:
    import ale_py  # not above: warnings are errors while tests are collected, which these libraries do not survive

    gymnasium.register_envs(ale_py)
    made = resumes_exactly(lambda: gymnasium.make("ALE/Breakout-v5", obs_type="ram"), tmp_path)
    assert made == ("complete", "ale", True)


def test_a_box2d_world_goes_on_exactly_by_replay(tmp_path: Path) -> None:
    factory = checkpointable(lambda: gymnasium.make("BipedalWalker-v3"), replay=True)
    assert resumes_exactly(factory, tmp_path) == ("complete", "replay", True)


def test_a_box2d_world_that_outlives_its_reset_fails_the_self_test_of_a_plain_barrier(tmp_path: Path) -> None:
    grade, strategy, _ = resumes_exactly(lambda: gymnasium.make("BipedalWalker-v3"), tmp_path, barrier=7)
    assert (grade, strategy) == ("partial", "none")


def test_the_action_that_an_atari_emulator_may_repeat_is_part_of_its_state() -> None:
    import ale_py

    gymnasium.register_envs(ale_py)
    last = []
    for seed in range(5):  # a quarter of the frames repeat the action before; the emulator does not tell which that was
        env = gymnasium.make("ALE/Breakout-v5", obs_type="ram")
        env.reset(seed=seed)
        env.action_space.seed(seed)
        for _ in range(30 + seed):
            env.step(env.action_space.sample())
        taken = single_env.take(env, {}, "env0/")
        assert taken["strategy"] == "ale"
        last.append(dict(taken["own"]["items"])["last_action"])
    assert len(set(last)) > 1
