"""SB3: algorithm x {single, Dummy, Subproc} x {registered, custom} x {VecNormalize or not}, through the hook."""

import itertools
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from benchmarks.resume_matrix.setup import RUN, Setup, Train, digest
from ckptkit import Schedule

TOTAL, EVERY = 192, 48


class _Walk(gymnasium.Env):
    """Not registered; has a history and a generator of its own besides gymnasium's."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-5, 5, (2,), np.float32)
        self.own = np.random.default_rng(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.history, self.steps = [float(self.np_random.normal())], 0
        return self._see(), {}

    def _see(self) -> Any:
        return np.array([self.history[-1], self.own.normal()], np.float32).clip(-5, 5)

    def _move(self, by: float) -> Any:
        self.steps += 1
        self.history.append(self.history[-1] * 0.5 + by + float(self.own.normal()))
        return self._see(), self.history[-1], self.steps >= 17, False, {}


class DiscreteWalk(_Walk):
    action_space = gymnasium.spaces.Discrete(3)

    def step(self, action: Any) -> Any:
        return self._move(float(action))

    def action_masks(self) -> Any:
        return np.array([True, self.steps % 2 == 0, True])


class ContinuousWalk(_Walk):
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action: Any) -> Any:
        return self._move(float(np.asarray(action).item()))


def _algorithms() -> dict[str, tuple[Any, str, dict[str, Any], str]]:
    import sb3_contrib
    import stable_baselines3 as sb3

    small = {"policy_kwargs": {"net_arch": [8]}, "device": "cpu"}
    on = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, **small}
    off = {"learning_starts": 20, "buffer_size": 400, "batch_size": 16, **small}
    lstm = {**on, "policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 8}}
    mlp = "MlpPolicy"
    return {
        "PPO": (sb3.PPO, mlp, on, "discrete"),
        "A2C": (sb3.A2C, mlp, small, "discrete"),
        "TRPO": (sb3_contrib.TRPO, mlp, {"n_steps": 16, "batch_size": 16, **small}, "discrete"),
        "RecurrentPPO": (sb3_contrib.RecurrentPPO, "MlpLstmPolicy", lstm, "continuous"),
        "MaskablePPO": (sb3_contrib.MaskablePPO, mlp, on, "masks"),
        "DQN": (sb3.DQN, mlp, {**off, "target_update_interval": 40}, "discrete"),
        "QRDQN": (sb3_contrib.QRDQN, mlp, {**off, "target_update_interval": 40}, "discrete"),
        "SAC": (sb3.SAC, mlp, off, "continuous"),
        "TD3": (sb3.TD3, mlp, off, "continuous"),
        "DDPG": (sb3.DDPG, mlp, off, "continuous"),
        "TQC": (sb3_contrib.TQC, mlp, off, "continuous"),
        "CrossQ": (sb3_contrib.CrossQ, mlp, off, "continuous"),
    }


def _environment(kind: str, custom: bool, vec: str, normalized: bool) -> Any:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

    registered = {"discrete": "CartPole-v1", "continuous": "Pendulum-v1"}.get(kind)
    walk = ContinuousWalk if kind == "continuous" else DiscreteWalk

    def make() -> Any:
        return Monitor(walk() if custom or registered is None else gymnasium.make(registered))

    if vec == "single" and not normalized:
        return make()
    count = 1 if vec == "single" else 2
    env = SubprocVecEnv([make] * count, start_method="fork") if vec == "Subproc" else DummyVecEnv([make] * count)
    return VecNormalize(env) if normalized else env


def _train(algorithm: str, custom: bool, vec: str, normalized: bool) -> Train:
    def train(setup: Setup) -> str:
        from stable_baselines3.common.callbacks import BaseCallback

        kind, policy, more, env_kind = _algorithms()[algorithm]
        model = kind(policy, _environment(env_kind, custom, vec, normalized), seed=1, **more)

        class Fate(BaseCallback):
            def _on_step(self) -> bool:
                setup.at_step(self.num_timesteps)
                return True

        if setup.store is None:
            model.learn(TOTAL, callback=Fate())
        else:
            from ckptkit_hooks.sb3 import CheckpointCallback

            hook = CheckpointCallback(setup.store, RUN, schedule=Schedule(every_steps=EVERY), resume=setup.resume)
            model = hook.resume_or_start(model, TOTAL, callback=Fate())
        end = digest(model.policy.parameters())
        model.get_env().close()
        return end

    return train


def setups() -> Iterator[tuple[str, Train]]:
    """Yield every set-up of the grid by name."""
    for algorithm, vec, custom, normalized in itertools.product(
        _algorithms(), ("single", "Dummy", "Subproc"), (False, True), (False, True)
    ):
        if algorithm == "MaskablePPO" and not custom:
            continue  # no registered environment tells masks
        words = [algorithm, vec, "custom" if custom else "registered", *(["VecNormalize"] if normalized else [])]
        yield " ".join(words), _train(algorithm, custom, vec, normalized)
