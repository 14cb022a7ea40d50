"""The laws for ``sb3``: an on-policy and an off-policy agent on CartPole, a few steps each."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from ckptkit_sb3 import Sb3Backend

from ckptkit.backend import LoadContext
from ckptkit.testing import BackendTests

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PENDING: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The callback that finishes the restore of an agent in its first ``learn``."""


def cart_pole() -> Any:
    import gymnasium

    return gymnasium.make("CartPole-v1")


def edit(folder: Path, path: list[Any], change: Callable[[Any], Any]) -> None:
    """Change one value among the sections of state.json."""
    state = json.loads((folder / "state.json").read_bytes())
    place = state["sections"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    (folder / "state.json").write_bytes(json.dumps(state).encode())


def zeros(digits: str) -> str:
    return "0" * len(digits)


class TestPpo(BackendTests):
    backend = Sb3Backend
    steps = 3
    rollout = 16

    def make_item(self) -> Any:
        return self._build(width=8)

    def make_misfit(self) -> Any:
        return self._build(width=9)

    def load(self, directory: Path, target: Any, context: LoadContext) -> Any:
        resumed = super().load(directory, target, context)
        PENDING[resumed.model] = resumed.callback
        return resumed.model

    def advance(self, item: Any) -> object:
        item.learn(self.rollout, reset_num_timesteps=False, callback=PENDING.pop(item, None))
        weights = {name: value.numpy().copy() for name, value in item.policy.state_dict().items()}
        return weights, item.num_timesteps, item._last_obs.copy()

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"model": self.make_item}

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        return {
            "python's random state": lambda folder: edit(folder, ["rng", "python", "words", 1], lambda word: word ^ 1),
            "the last observation": lambda folder: edit(folder, ["observations", "items", 0, "hex"], zeros),
            "the update counter": lambda folder: edit(folder, ["attributes", "_n_updates"], lambda count: count + 1),
        }

    def _build(self, width: int) -> Any:
        from stable_baselines3 import PPO

        shape = {"net_arch": [width]}
        return PPO(
            "MlpPolicy", cart_pole(), n_steps=self.rollout, batch_size=8, n_epochs=2, seed=0, policy_kwargs=shape
        )


class TestDqn(TestPpo):
    def _build(self, width: int) -> Any:
        from stable_baselines3 import DQN

        shape = {"net_arch": [width]}
        return DQN(
            "MlpPolicy", cart_pole(), learning_starts=8, buffer_size=200, batch_size=8, train_freq=4,
            target_update_interval=8, seed=0, policy_kwargs=shape,
        )  # fmt: skip
