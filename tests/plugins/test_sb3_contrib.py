"""Algorithms of sb3-contrib follow SB3's base classes, and so go on exactly too: hidden states, quantiles, masks."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from ckptkit_sb3 import CheckpointBoundary
from sb3_agents import BACKEND, Maker, Saves, envs, load, load_context, off, on
from sb3_contrib import QRDQN, TQC, MaskablePPO, RecurrentPPO

from ckptkit.backend import Proof
from ckptkit.errors import UnsafeContentError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

LSTM = {"net_arch": [8], "lstm_hidden_size": 8}
TOTAL = 100


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says which actions are allowed: not the same one all the time."""

    def action_masks(self) -> list[bool]:
        return [True, bool(self.env.unwrapped.state[0] < 0.02)]


def masked(seed: int) -> Any:
    return MaskablePPO("MlpPolicy", Masked(gymnasium.make("CartPole-v1")), **on(seed))


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
    assert BACKEND.prove(folder, context=load_context(folder, item, model=lambda: maker(9))) == Proof("same")


def test_a_policy_class_that_is_not_known_is_not_unpickled(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    AGENTS["qrdqn"][0](1).learn(30, callback=CheckpointBoundary(saves, every_steps=20))
    with pytest.raises(UnsafeContentError, match="QRDQNPolicy"):
        load(*saves.made[0], env=lambda: gymnasium.make("CartPole-v1"))
