"""Files of Stable-Baselines3, sb3-contrib and rl-zoo."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import stable_baselines3
import yaml
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

Write = Callable[[Path], tuple[Path, list[Path]]]
Writer = tuple[str, str, str | None, Write]
"""Family, label, backend, and what writes it."""

VECTOR, TURN, CHOICE = spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2,)), spaces.Discrete(3)
OFF: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 10, "buffer_size": 60}
ON: dict[str, Any] = {"n_steps": 8, "batch_size": 8}
AGENTS: dict[str, tuple[str, str, Any, dict[str, Any]]] = {
    "PPO": ("stable_baselines3", "MlpPolicy", CHOICE, ON),
    "A2C": ("stable_baselines3", "MlpPolicy", TURN, {"n_steps": 8}),
    "DQN": ("stable_baselines3", "MlpPolicy", CHOICE, OFF),
    "SAC": ("stable_baselines3", "MlpPolicy", TURN, OFF),
    "TD3": ("stable_baselines3", "MlpPolicy", TURN, OFF),
    "DDPG": ("stable_baselines3", "MlpPolicy", TURN, OFF),
    "QRDQN": ("sb3_contrib", "MlpPolicy", CHOICE, OFF),
    "TQC": ("sb3_contrib", "MlpPolicy", TURN, OFF),
    "CrossQ": ("sb3_contrib", "MlpPolicy", TURN, OFF),
    "RecurrentPPO": ("sb3_contrib", "MlpLstmPolicy", CHOICE, ON),
    "MaskablePPO": ("sb3_contrib", "MlpPolicy", CHOICE, ON),
    "TRPO": ("sb3_contrib", "MlpPolicy", CHOICE, ON),
    "ARS": ("sb3_contrib", "LinearPolicy", TURN, {"n_delta": 1}),
}


class Env(gymnasium.Env[Any, Any]):
    """Random everything."""

    metadata: ClassVar[dict[str, Any]] = {}

    def __init__(self, action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = VECTOR, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.2), False, {}

    def action_masks(self) -> list[bool]:
        return [True, True, False]


def writers() -> Iterator[Writer]:
    """Yield what writes each case."""
    for name, (library, *_) in AGENTS.items():
        for backend in ("sb3", "files"):
            yield library.replace("_", "-"), f"{name} under {backend}", backend, _agent(name)
    yield "stable-baselines3", "VecNormalize", "files", _normalized
    yield "rl-zoo", "config.yml and args.yml", "files", _zoo


def _agent(name: str) -> Write:
    def write(folder: Path) -> tuple[Path, list[Path]]:
        library, policy, action, options = AGENTS[name]
        module = stable_baselines3 if library == "stable_baselines3" else __import__(library)
        agent = getattr(module, name)(policy, Env(action), seed=0, **copy.deepcopy(options))
        agent.learn(20)
        agent.save(folder / "agent.zip")
        return folder / "agent.zip", []

    return write


def _normalized(folder: Path) -> tuple[Path, list[Path]]:
    env = VecNormalize(DummyVecEnv([lambda: Env(TURN)]))
    env.reset()
    env.save(str(folder / "vecnormalize.pkl"))
    agent = stable_baselines3.SAC("MlpPolicy", Env(TURN), **copy.deepcopy(OFF))
    agent.learn(20)
    agent.save_replay_buffer(folder / "replay_buffer.pkl")
    return folder, []


def _zoo(folder: Path) -> tuple[Path, list[Path]]:
    settings = OrderedDict([("gamma", 0.99), ("policy", "MlpPolicy"), ("policy_kwargs", "dict(net_arch=[64])")])
    with (folder / "config.yml").open("w") as stream:
        yaml.dump(settings, stream)  # as rl_zoo3.exp_manager.ExperimentManager._save_config does
    with (folder / "args.yml").open("w") as stream:
        yaml.dump(OrderedDict([("algo", "ppo"), ("env", "CartPole-v1"), ("seed", 1)]), stream)
    return folder, []
