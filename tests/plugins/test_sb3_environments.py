"""The state of environments: whichever way takes it has proven itself, and what cannot be taken is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ckptkit_sb3 import CheckpointBoundary, checkpointable
from ckptkit_sb3.levels import without_monitor
from sb3_agents import BACKEND, Hidden, Saves, Told, Walk, common, go_on, load, names, save, train
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Liar(Hidden):
    """Has the protocol, but forgets half of its place (as a pickled EzPickle environment does)."""

    def get_state(self) -> Any:
        return self.place[:1]

    def set_state(self, state: Any) -> None:
        self.place = np.array([state[0], 0.0])


class Board(Walk):
    """Has a large array, and an attribute that is called like a key of our files."""

    def __init__(self) -> None:
        super().__init__()
        self.board, self.member = np.zeros((20, 20)), 0

    def step(self, action: Any) -> Any:
        self.member += 1
        self.board[self.member % 20] += self.member
        return super().step(action)


class WithFile(Walk):
    """Holds something that a copy would share."""

    def __init__(self) -> None:
        super().__init__()
        self.log = open(__file__)  # noqa: SIM115  # open for as long as the environment

    def close(self) -> None:
        self.log.close()


def agent(factory: Any, seed: int) -> Any:
    return A2C("MlpPolicy", DummyVecEnv([factory] * 2), **common(seed))


def outcome(factory: Any, folder: Path, **more: Any) -> tuple[Any, str, bool]:
    """Return captured, strategy, and whether a resumed run really ends the same."""
    saves = Saves(folder, env=factory)
    expected = train(agent(factory, 1), saves, total=60, every=25, **more)
    item = saves.made[-1][1] if more else saves.made[0][1]
    place = saves.made[-1][0] if more else saves.made[0][0]
    found = go_on(load(place, item, agent(factory, 5)), 60)
    weights = [k for k in expected if k.startswith("policy")]
    return item.captured, item.metadata["environments"][0]["strategy"], all(found[k] == expected[k] for k in weights)


def test_attributes_are_taken_when_nothing_had_to_be_left_out(tmp_path: Path) -> None:
    captured, strategy, same = outcome(Walk, tmp_path)
    assert (captured.grade, strategy, same) == ("complete", "attributes", True)


def test_large_arrays_are_taken_whatever_the_other_attributes_are_called(tmp_path: Path) -> None:
    captured, strategy, same = outcome(Board, tmp_path)
    assert (captured.grade, strategy, same) == ("complete", "attributes", True)


@pytest.mark.parametrize("around", [DummyVecEnv, lambda made: SubprocVecEnv(made, start_method="fork")])
def test_large_arrays_of_an_evaluation_are_put_back_in_workers_too(around: Any, tmp_path: Path) -> None:
    def evaluation() -> Any:
        return EvalCallback(around([Board]), n_eval_episodes=1, eval_freq=10, verbose=0)

    saves, first, again = Saves(tmp_path), evaluation(), evaluation()
    agent(Walk, 1).learn(60, callback=[first, CheckpointBoundary(saves, every_steps=40)])
    resumed = load(*saves.made[0], agent(Walk, 5))
    resumed.learn(60, callback=again)
    boards = [callback.eval_env.get_attr("board")[0].tolist() for callback in (first, again)]
    for callback in (first, again):
        callback.eval_env.close()
    assert saves.made[0][1].captured.grade == "complete"
    assert resumed.told == []
    assert boards[0] == boards[1]


def test_an_environments_own_protocol_comes_first(tmp_path: Path) -> None:
    captured, strategy, same = outcome(Told, tmp_path)
    assert (captured.grade, strategy, same) == ("complete", "protocol", True)


def test_state_that_cannot_be_read_is_graded_not_captured_with_the_reason(tmp_path: Path) -> None:
    captured, strategy, same = outcome(Hidden, tmp_path)
    assert (captured.grade, strategy, same) == ("partial", "none", False)
    assert "_box" in str(captured.reasons)
    assert "memoryview" in str(captured.reasons)


def test_a_protocol_that_loses_state_fails_its_self_test(tmp_path: Path) -> None:
    captured, _, _ = outcome(Liar, tmp_path)
    assert captured.grade == "partial"
    assert "goes on differently" in str(captured.reasons)


def test_hidden_state_comes_back_by_replaying_the_actions(tmp_path: Path) -> None:
    captured, strategy, same = outcome(checkpointable(Hidden, replay=True), tmp_path)
    assert (captured.grade, strategy, same) == ("complete", "replay", True)


def test_a_log_that_grew_too_long_is_given_up_and_said(tmp_path: Path) -> None:
    captured, strategy, _ = outcome(checkpointable(Hidden, replay=True, longest=5), tmp_path)
    assert (captured.grade, strategy) == ("partial", "none")


def test_a_barrier_makes_a_resume_exact_without_any_environment_state(tmp_path: Path) -> None:
    saves = Saves(tmp_path, env=Hidden)
    expected = train(agent(Hidden, 1), saves, total=60, every=50, barrier=7)
    folder, item = saves.made[0]
    assert item.captured.grade == "complete-with-barrier"
    found = go_on(load(folder, item, agent(Hidden, 5)), 60)
    assert found["policy"] == expected["policy"]


def test_an_environment_that_holds_an_open_file_is_not_built_again_for_a_test(tmp_path: Path) -> None:
    made: list[Any] = []

    def factory() -> Any:
        made.append(held := WithFile())
        return held

    model = A2C("MlpPolicy", DummyVecEnv([factory]), **common(0))
    model.learn(10)
    item = save(model, tmp_path)
    for env in made:
        env.close()
    assert len(made) == 1
    assert item.captured.grade == "partial"
    assert "TextIOWrapper" in str(item.captured.reasons)


def test_an_unregistered_environment_is_tested_from_a_copy_of_it(tmp_path: Path) -> None:
    model = agent(Walk, 0)
    model.learn(10)
    item = save(model, tmp_path)
    assert item.captured.grade == "complete"
    assert [e["tested"] for e in item.metadata["environments"]] == ["passed", "passed"]


def test_what_was_not_tested_is_said_and_a_factory_is_asked_for(tmp_path: Path) -> None:
    model = agent(Told, 0)  # cannot be pickled, nor built anew: nobody knows how
    model.learn(10)
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    item = save(model, tmp_path / "without")
    assert item.captured.grade == "complete"  # its own protocol says everything
    assert "environments 0, 1: not tested" in str(item.hazards)
    assert 'factories={"env": ...}' in str(item.hazards)
    item = save(model, tmp_path / "with", env=Told)
    assert not item.hazards or "not tested" not in str(item.hazards)


def test_state_in_a_worker_that_cannot_be_read_is_named_and_the_worker_lives_on(tmp_path: Path) -> None:
    env = SubprocVecEnv([Hidden], start_method="fork")
    try:
        model = A2C("MlpPolicy", env, **common(0))
        model.learn(10)
        item = save(model, tmp_path)
        model.learn(10, reset_num_timesteps=False)
    finally:
        env.close()
    assert item.captured.grade == "partial"
    assert "memoryview" in str(item.captured.reasons)
    assert "checkpointable" in str(item.captured.reasons)


def test_a_save_leaves_the_live_environment_alone(tmp_path: Path) -> None:
    model = A2C("MlpPolicy", "CartPole-v1", **common(0))
    model.learn(10)
    live = without_monitor(model.env.envs[0]).unwrapped
    before = (live.state.copy(), live.np_random.bit_generator.state)
    digests = BACKEND.digests(model)
    save(model, tmp_path)
    assert np.array_equal(before[0], live.state)
    assert before[1] == live.np_random.bit_generator.state
    assert BACKEND.digests(model) == digests


def test_an_agent_whose_environment_is_lost_begins_a_new_episode(tmp_path: Path) -> None:
    model = agent(Hidden, 0)
    model.learn(10)
    item = save(model, tmp_path)
    resumed = load(tmp_path, item, agent(Hidden, 3))
    assert resumed.model._last_obs is None
    resumed.model.learn(10, reset_num_timesteps=False, callback=resumed.callback)
    assert resumed.model.num_timesteps == 20
    assert "state.json" in names(tmp_path)
