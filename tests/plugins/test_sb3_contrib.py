"""Algorithms of sb3-contrib follow SB3's base classes, and so go on exactly too: hidden states, quantiles, masks."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from ckptkit_hooks.sb3 import CheckpointCallback
from ckptkit_sb3 import CheckpointBoundary
from sb3_agents import BACKEND, Maker, Saves, envs, load, load_context, off, on
from sb3_contrib import ARS, QRDQN, TQC, MaskablePPO, RecurrentPPO
from sb3_contrib.common.vec_env import AsyncEval
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from stable_baselines3.common.base_class import BaseAlgorithm

from ckptkit import Schedule
from ckptkit.backend import Captured
from ckptkit.errors import BackendError, UnsafeContentError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

LSTM = {"net_arch": [8], "lstm_hidden_size": 8}
TOTAL = 100


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says which actions are allowed: not the same one all the time."""

    def action_masks(self) -> list[bool]:
        return [True, bool(self.env.unwrapped.state[0] < 0.02)]


def masked(seed: int) -> Any:
    return MaskablePPO("MlpPolicy", Masked(gymnasium.make("CartPole-v1")), **on(seed))


class Strange(BaseAlgorithm):
    """Follows SB3's base class, and nothing else."""

    def _setup_model(self) -> None: ...

    def learn(self, *_: Any, **__: Any) -> Any:
        raise AssertionError


AGENTS: dict[str, tuple[Maker, str]] = {
    "recurrent": (lambda s: RecurrentPPO("MlpLstmPolicy", envs("CartPole-v1", 2), **on(s, policy_kwargs=LSTM)), "step"),
    "masked": (masked, "step"),
    "tqc": (lambda s: TQC("MlpPolicy", envs("Pendulum-v1"), **off(s)), "rollout"),
    "qrdqn": (lambda s: QRDQN("MlpPolicy", envs("CartPole-v1"), **off(s)), "rollout"),
}


@pytest.mark.parametrize("name", AGENTS)
def test_an_algorithm_of_sb3_contrib_goes_on_exactly(name: str, tmp_path: Path) -> None:
    maker, kind = AGENTS[name]
    saves, agent = Saves(tmp_path, env=lambda: Masked(gymnasium.make("CartPole-v1"))), maker(1)
    agent.learn(TOTAL, callback=CheckpointBoundary(saves, every_steps=44))
    folder, item = saves.made[0]
    assert item.captured.grade == "complete"
    assert item.boundary == {"kind": kind, "requested_at": 44, "saved_at": 44}
    resumed = load(folder, item, maker(5))
    resumed.learn(TOTAL)
    assert BACKEND.digests(resumed.model) == BACKEND.digests(agent)
    assert BACKEND.prove(folder, context=load_context(folder, item, model=lambda: maker(9))).verdict == "same"


class Own(QRDQNPolicy):
    """A policy of somebody's own."""


@pytest.mark.parametrize("policy", ["MlpPolicy", Own], ids=["known", "own"])
def test_only_a_policy_class_that_is_known_is_unpickled(policy: Any, tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    QRDQN(policy, envs("CartPole-v1"), **off(1)).learn(30, callback=CheckpointBoundary(saves, every_steps=20))
    if policy is Own:
        with pytest.raises(UnsafeContentError, match=r"test_sb3_contrib\.Own"):
            load(*saves.made[0], env=lambda: gymnasium.make("CartPole-v1"))
    else:
        agent = load(*saves.made[0], env=lambda: gymnasium.make("CartPole-v1"))
        assert type(agent.model.policy if hasattr(agent, "model") else agent.policy) is QRDQNPolicy


def ars(seed: int) -> Any:
    def falling(progress: float) -> float:
        return 0.02 * progress

    return ARS("LinearPolicy", envs("Pendulum-v1", 2, norm=True), n_delta=2, learning_rate=falling, seed=seed)


def test_ars_goes_on_exactly_between_two_of_its_updates(tmp_path: Path) -> None:
    saves, agent = Saves(tmp_path), ars(1)
    agent.learn(4000, callback=CheckpointBoundary(saves, every_steps=1500))
    folder, item = saves.made[0]
    assert item.captured == Captured()
    assert item.boundary == {"kind": "rollout", "requested_at": 1500, "saved_at": 1600}
    resumed = load(folder, item, ars(5))
    resumed.learn(4000)
    assert BACKEND.digests(resumed.model) == BACKEND.digests(agent)


def test_an_interval_of_episodes_is_refused_for_ars_before_it_trains(tmp_path: Path) -> None:
    agent = ars(1)
    with pytest.raises(BackendError, match="does not tell its callbacks where episodes end"):
        agent.learn(100, callback=CheckpointBoundary(Saves(tmp_path), every_episodes=3))
    assert agent.num_timesteps == 0


def test_processes_of_ars_are_refused_before_it_trains(tmp_path: Path) -> None:
    agent = ars(1)
    workers = AsyncEval([lambda: envs("Pendulum-v1")], agent.policy)
    try:
        with pytest.raises(BackendError, match="AsyncEval"):
            agent.learn(100, callback=CheckpointBoundary(Saves(tmp_path), every_steps=50), async_eval=workers)
    finally:
        workers.close()
    assert agent.num_timesteps == 0


def test_an_algorithm_without_a_known_cycle_is_refused_when_the_hook_first_sees_it(tmp_path: Path) -> None:
    agent = Strange(QRDQNPolicy, gymnasium.make("CartPole-v1"), 1e-3)
    hook = CheckpointCallback(tmp_path, "strange/run", schedule=Schedule(every_steps=5))
    with pytest.raises(BackendError, match="Strange has no collect_rollouts or _do_one_update"):
        hook.resume_or_start(agent, 100)
