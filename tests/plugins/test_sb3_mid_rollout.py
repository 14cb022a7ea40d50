"""On-policy agents are saved inside a rollout where that is exact, else at its end; the manifest says which."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ckptkit_sb3 import CheckpointBoundary
from sb3_agents import AGENTS, BACKEND, Saves, check, envs, load, load_context, off, on, save
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import obs_as_tensor

from ckptkit import CheckpointStore
from ckptkit.backend import Proof
from ckptkit.errors import BackendError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

TOTAL = 130  # with rollouts of 32 steps the last one ends at 160


class AsksThePolicy(BaseCallback):
    """Calls the policy where a step is not stored yet, and at the end of a rollout: it draws numbers each time."""

    def _on_step(self) -> bool:
        self.model.policy(obs_as_tensor(self.model._last_obs, self.model.device))
        return True

    def _on_rollout_end(self) -> None:
        self._on_step()


class OwnLoop(PPO):
    """Has a loop of its own, of which nothing is known."""

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        return super().collect_rollouts(*args, **kwargs)


def run(maker: Any, folder: Path, mid: Any = "auto", **interval: int) -> tuple[Saves, dict[str, str]]:
    saves, agent = Saves(folder), maker(1)
    agent.learn(TOTAL, callback=CheckpointBoundary(saves, mid_rollout=mid, **interval))
    return saves, dict(BACKEND.digests(agent))


def finished(saves: Saves, number: int, maker: Any) -> dict[str, str]:
    """Load a save into another agent, train it to the end, and return the digests of all parts."""
    resumed = load(*saves.made[number], maker(5))
    resumed.learn(TOTAL)
    return dict(BACKEND.digests(resumed.model))


def places(saves: Saves) -> list[tuple[Any, ...]]:
    return [tuple((item.boundary or {}).values()) for _, item in saves.made]


@pytest.mark.parametrize("name", ["ppo", "a2c", "ppo sde stacked", "ppo normalized"])
def test_a_save_between_two_steps_of_a_rollout_is_exact(name: str, tmp_path: Path) -> None:
    saves, expected = run(AGENTS[name], tmp_path, every_steps=42)
    assert places(saves)[:2] == [("step", 42, 42), ("step", 84, 84)]
    for number in (0, 1):
        assert saves.made[number][1].captured.grade == "complete"
        assert finished(saves, number, AGENTS[name]) == expected


def test_a_save_at_the_end_of_an_episode_is_exact(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path, every_episodes=2)
    assert places(saves)[0][0] == "episode"
    assert saves.made[0][1].counters["episode"] == 2
    assert finished(saves, 0, AGENTS["ppo"]) == expected


def test_saving_inside_rollouts_does_not_change_the_run(tmp_path: Path) -> None:
    never = AGENTS["ppo"](1)
    never.learn(TOTAL)
    assert run(AGENTS["ppo"], tmp_path, every_steps=9)[1] == dict(BACKEND.digests(never))


def test_a_callback_that_calls_the_policy_is_not_taken_for_the_head_of_a_step(tmp_path: Path) -> None:
    saves, agent = Saves(tmp_path), AGENTS["ppo"](1)
    agent.learn(TOTAL, callback=[CheckpointBoundary(saves, every_steps=31), AsksThePolicy()])
    assert places(saves)[:4] == [("rollout", 32, 32), ("step", 62, 62), ("step", 94, 94), ("step", 124, 124)]
    for number in (0, 1, 3):
        resumed = load(*saves.made[number], AGENTS["ppo"](5))
        resumed.learn(TOTAL, callback=AsksThePolicy())
        assert BACKEND.digests(resumed.model) == BACKEND.digests(agent)


def test_a_save_that_an_interrupted_training_waited_for_is_not_made_by_the_next_one(tmp_path: Path) -> None:
    agent, left_over = AGENTS["ppo"](1), Saves(tmp_path / "left over")

    class Interrupt(BaseCallback):
        def _on_step(self) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.learn(TOTAL, callback=[CheckpointBoundary(left_over, every_steps=1), Interrupt()])
    agent.learn(TOTAL, callback=CheckpointBoundary(Saves(tmp_path / "own"), every_steps=40))
    assert left_over.made == []


def test_noise_drawn_every_few_steps_puts_a_save_off_to_the_next_draw(tmp_path: Path) -> None:
    def agent(seed: int) -> Any:
        return PPO("MlpPolicy", envs("Pendulum-v1", 2), use_sde=True, sde_sample_freq=4, **on(seed))

    saves, expected = run(agent, tmp_path, every_steps=44)
    assert places(saves)[0] == ("step", 44, 48)
    assert finished(saves, 0, agent) == expected


def test_a_save_past_the_end_of_training_waits_for_the_end_of_the_rollout(tmp_path: Path) -> None:
    saves, _ = run(AGENTS["ppo"], tmp_path, every_steps=150)
    assert places(saves) == [("rollout", 150, 160)]


def test_a_save_past_the_end_is_finished_by_learn_when_it_was_insisted_on(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path, mid=True, every_steps=150)
    assert places(saves) == [("step", 150, 150)]
    assert finished(saves, 0, AGENTS["ppo"]) == expected


def test_a_finished_run_is_left_alone_by_learn(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path, every_steps=150)
    assert finished(saves, 0, AGENTS["ppo"]) == expected


def test_a_loaded_agent_can_be_saved_again_before_it_goes_on(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path / "first", every_steps=40)
    resumed = load(*saves.made[0], AGENTS["ppo"](5))
    assert resumed.inside_rollout
    (tmp_path / "again").mkdir()
    again = save(resumed.model, tmp_path / "again")
    resumed = load(tmp_path / "again", again, AGENTS["ppo"](6))
    resumed.learn(TOTAL)
    assert dict(BACKEND.digests(resumed.model)) == expected


def test_a_resumed_run_saves_inside_the_same_rollout_again(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path / "first", every_steps=36)
    resumed = load(*saves.made[0], AGENTS["ppo"](5))
    again = Saves(tmp_path / "again")
    resumed.learn(TOTAL, callback=CheckpointBoundary(again, every_steps=10))
    assert places(again)[0] == ("step", 40, 40)
    assert finished(again, 0, AGENTS["ppo"]) == expected


def test_a_request_before_the_first_step_of_a_resumed_rollout_waits_for_it(tmp_path: Path) -> None:
    saves, expected = run(AGENTS["ppo"], tmp_path / "first", every_steps=40)
    resumed = load(*saves.made[0], AGENTS["ppo"](5))
    again = Saves(tmp_path / "again")
    boundary = CheckpointBoundary(again)

    class Ask(BaseCallback):
        def _on_training_start(self) -> None:
            boundary.request()

        def _on_step(self) -> bool:
            return True

    resumed.learn(TOTAL, callback=[boundary, Ask()])
    assert places(again) == [("step", 40, 42)]
    assert finished(again, 0, AGENTS["ppo"]) == expected


def test_the_proof_of_a_save_inside_a_rollout_replays(tmp_path: Path) -> None:
    saves, _ = run(AGENTS["a2c"], tmp_path, every_steps=14)
    folder, item = saves.made[0]
    assert "rollout_buffer" in (item.probe or {})["digests"]
    assert BACKEND.prove(folder, context=load_context(folder, item, model=lambda: AGENTS["a2c"](9))).verdict == "same"
    assert check(folder, item) == []


def test_a_lost_or_damaged_rollout_is_found(tmp_path: Path) -> None:
    saves, _ = run(AGENTS["a2c"], tmp_path, every_steps=14)
    folder, item = saves.made[0]
    (folder / "rollout_buffer.npz").write_bytes((folder / "rollout_buffer.npz").read_bytes()[:-30])
    assert [p.file for p in check(folder, item)] == ["rollout_buffer.npz"]
    (folder / "rollout_buffer.npz").unlink()
    assert [p.code for p in check(folder, item)] == ["file-missing"]


def test_lost_rows_of_a_rollout_fail_the_proof(tmp_path: Path) -> None:
    saves, _ = run(AGENTS["a2c"], tmp_path, every_steps=14)
    folder, item = saves.made[0]
    with np.load(folder / "rollout_buffer.npz") as file:
        rows = {name: file[name] for name in file.files}
    np.savez(folder / "rollout_buffer.npz", **{**rows, "rewards": rows["rewards"] * 0})
    proof = BACKEND.prove(folder, context=load_context(folder, item, model=lambda: AGENTS["a2c"](9)))
    assert proof == Proof("differs", "differs in rollout_buffer")


def test_another_length_of_rollouts_is_refused_and_the_target_unchanged(tmp_path: Path) -> None:
    saves, _ = run(AGENTS["ppo"], tmp_path, every_steps=40)
    target = PPO("MlpPolicy", envs("CartPole-v1", 2), **on(3, n_steps=24))
    before = BACKEND.digests(target)
    with pytest.raises(BackendError, match="24 steps long, in the checkpoint 16"):
        load(*saves.made[0], target)
    assert BACKEND.digests(target) == before


def test_a_loop_that_is_not_known_is_saved_at_the_end_of_its_rollouts(tmp_path: Path) -> None:
    def agent(seed: int) -> Any:
        return OwnLoop("MlpPolicy", envs("CartPole-v1", 2), **on(seed))

    saves, expected = run(agent, tmp_path, every_steps=40)
    assert places(saves)[0] == ("rollout", 40, 64)
    assert finished(saves, 0, agent) == expected
    with pytest.raises(BackendError, match="local variables"):
        agent(0).learn(10, callback=CheckpointBoundary(saves, mid_rollout=True))


def test_off_policy_agents_cannot_be_made_to_save_inside_a_rollout(tmp_path: Path) -> None:
    agent = SAC("MlpPolicy", envs("Pendulum-v1"), **off(0))
    with pytest.raises(BackendError, match="no rollout buffer"):
        agent.learn(10, callback=CheckpointBoundary(print, mid_rollout=True))


def test_a_barrier_and_a_save_inside_a_rollout_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="barrier"):
        CheckpointBoundary(print, barrier=1, mid_rollout=True)


def test_the_manifest_says_where_the_save_was_taken(tmp_path: Path) -> None:
    store, found = CheckpointStore(tmp_path), []

    def keep(model: OnPolicyAlgorithm) -> None:
        found.append(store.save("ppo/run1", model.num_timesteps, {"agent": model}).manifest.boundary)

    AGENTS["ppo"](1).learn(50, callback=CheckpointBoundary(keep, every_steps=40))
    AGENTS["ppo"](1).learn(50, callback=CheckpointBoundary(keep, every_steps=40, mid_rollout=False))
    assert [(b.kind, b.requested_at, b.saved_at) for b in found if b] == [("step", 40, 40), ("rollout", 40, 64)]
