"""Saves happen at clean boundaries only, when they were asked for, and leave no trace in the agent."""

from pathlib import Path
from typing import Any

import pytest
from ckptkit_sb3 import CheckpointBoundary
from sb3_agents import AGENTS, TOTAL, Saves, save
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

from ckptkit.backend import SavedItem
from ckptkit.errors import BackendError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class InStep(BaseCallback):
    """Saves where SB3's own callback does: between taking a step and storing it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _on_step(self) -> bool:
        save(self.model, self.folder)
        return True


def boundary_of(item: SavedItem) -> dict[str, Any]:
    return dict(item.boundary or {})


class StopAt(BaseCallback):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_step(self) -> bool:
        return self.model.num_timesteps < self.steps


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_a_save_in_the_middle_of_a_rollout_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="middle of a rollout"):
        AGENTS[name](0).learn(40, callback=InStep(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_save_is_put_off_to_the_next_boundary_and_says_so(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    AGENTS["ppo"](0).learn(96, callback=CheckpointBoundary(saves, every_steps=20, mid_rollout=False))
    boundaries = [boundary_of(item) for _, item in saves.made]
    assert boundaries[0] == {"kind": "rollout", "requested_at": 20, "saved_at": 32}
    assert [b["saved_at"] for b in boundaries] == [32, 64, 96]


def test_episodes_are_counted_and_saved_after(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    AGENTS["dqn"](0).learn(TOTAL, callback=CheckpointBoundary(saves, every_episodes=2))
    assert [item.counters["episode"] for _, item in saves.made][:3] == [2, 4, 6]


def test_on_policy_episodes_are_counted_over_a_resume(tmp_path: Path) -> None:
    from sb3_agents import load

    saves = Saves(tmp_path)
    agent = AGENTS["a2c"](1)
    agent.learn(TOTAL, callback=CheckpointBoundary(saves, every_episodes=2))
    resumed = load(*saves.made[0], AGENTS["a2c"](5))
    again = Saves(tmp_path / "again")
    callbacks = [resumed.callback, CheckpointBoundary(again, every_episodes=2)]
    resumed.model.learn(TOTAL - resumed.model.num_timesteps, reset_num_timesteps=False, callback=callbacks)
    assert [i.counters for _, i in again.made] == [i.counters for _, i in saves.made[1:]]


def test_a_request_is_served_at_the_next_boundary(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    boundary = CheckpointBoundary(saves)

    class Ask(BaseCallback):
        def _on_step(self) -> bool:
            if self.model.num_timesteps == 10:
                boundary.request()
            return True

    AGENTS["sac"](0).learn(15, callback=[boundary, Ask()])
    assert [boundary_of(item)["saved_at"] for _, item in saves.made] == [10]


def test_other_callbacks_still_write_clean_zips(tmp_path: Path) -> None:
    agent = AGENTS["ppo"](0)
    other = CheckpointCallback(16, str(tmp_path))
    agent.learn(64, callback=[CheckpointBoundary(Saves(tmp_path / "own"), every_steps=20), other])
    loaded = PPO.load(tmp_path / "rl_model_32_steps.zip")
    assert "collect_rollouts" not in vars(loaded)
    assert "_excluded_save_params" not in vars(loaded)
    assert "collect_rollouts" not in vars(agent)


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_an_agent_stopped_in_the_middle_of_a_rollout_is_not_graded_exact(name: str, tmp_path: Path) -> None:
    agent = AGENTS[name](0)
    agent.learn(TOTAL, callback=StopAt(56))
    item = save(agent, tmp_path)
    assert item.captured.grade == "partial"
    assert "stopped by a callback" in str(item.captured.reasons)


def test_two_boundaries_work_side_by_side(tmp_path: Path) -> None:
    steps, episodes = Saves(tmp_path / "steps"), Saves(tmp_path / "episodes")
    callbacks: list[Any] = [
        CheckpointBoundary(steps, every_steps=50),
        CheckpointBoundary(episodes, every_episodes=3),
    ]
    AGENTS["dqn"](0).learn(TOTAL, callback=callbacks)
    assert [i.counters["num_timesteps"] for _, i in steps.made] == [52, 100]
    assert episodes.made[0][1].counters["episode"] == 3


@pytest.mark.parametrize("interval", [{"every_steps": 0}, {"every_episodes": -1}])
def test_an_interval_below_one_is_a_usage_error(interval: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="interval"):
        CheckpointBoundary(print, **interval)
