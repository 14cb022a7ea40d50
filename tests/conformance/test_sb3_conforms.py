"""The laws for ``sb3``: an on-policy and an off-policy agent on CartPole, a few steps each."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ckptkit_sb3 import Sb3Backend

from ckptkit.testing import BackendTests

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def cart_pole() -> Any:
    import gymnasium

    return gymnasium.make("CartPole-v1")


class TestPpo(BackendTests):
    backend = Sb3Backend
    steps = 3
    rollout = 16

    def make_item(self) -> Any:
        return self._build(width=8)

    def make_misfit(self) -> Any:
        return self._build(width=9)

    def advance(self, item: Any) -> object:
        # load() returns a Resumed, whose callback finishes the restore in the first learn().
        model, callback = (item, None) if hasattr(item, "policy") else (item.model, item.callback)
        model.learn(self.rollout, reset_num_timesteps=False, callback=callback)
        weights = {name: value.numpy().copy() for name, value in model.policy.state_dict().items()}
        return weights, model.num_timesteps, model._last_obs.copy()

    def factories(self) -> Mapping[str, Callable[[], Any]]:
        return {"model": self.make_item}

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
