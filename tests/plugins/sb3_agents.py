"""Tiny SB3 agents, and how the tests train, save and load them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from ckptkit_sb3 import CheckpointBoundary, Sb3Backend
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from ckptkit.backend import CheckContext, LoadContext, Pending, SaveContext, SavedItem, SnapshotContext

torch.set_num_threads(1)
warnings.simplefilter("ignore", DeprecationWarning)
BACKEND = Sb3Backend()
Maker = Callable[[int], Any]


def envs(name: str, count: int = 1, *, stack: bool = False, norm: bool = False) -> Any:
    vec: Any = DummyVecEnv([lambda: gymnasium.make(name)] * count)
    if stack:
        vec = VecFrameStack(vec, 3)
    return VecNormalize(vec) if norm else vec


def common(seed: int) -> dict[str, Any]:
    return {"seed": seed, "device": "cpu", "policy_kwargs": {"net_arch": [8]}}


def off(seed: int, **more: Any) -> dict[str, Any]:
    return {"learning_starts": 20, "buffer_size": 110, "batch_size": 8, **common(seed), **more}


def on(seed: int, **more: Any) -> dict[str, Any]:
    return {"n_steps": 16, "batch_size": 16, "n_epochs": 2, **common(seed), **more}


def noise(kind: type) -> Any:
    return kind(np.zeros(1), 0.3 * np.ones(1))


def halved(progress: float) -> float:
    return 1e-3 * progress


AGENTS: dict[str, Maker] = {
    "ppo": lambda s: PPO("MlpPolicy", envs("CartPole-v1", 2), **on(s)),
    "ppo schedule": lambda s: PPO("MlpPolicy", "CartPole-v1", learning_rate=halved, **on(s)),
    "ppo normalized": lambda s: PPO("MlpPolicy", envs("Pendulum-v1", 2, norm=True), **on(s)),
    "ppo sde stacked": lambda s: PPO("MlpPolicy", envs("Pendulum-v1", 2, stack=True), use_sde=True, **on(s)),
    "a2c": lambda s: A2C("MlpPolicy", envs("CartPole-v1", 2), **common(s)),
    "sac": lambda s: SAC("MlpPolicy", envs("Pendulum-v1"), **off(s)),
    "sac in warm-up": lambda s: SAC("MlpPolicy", envs("Pendulum-v1", norm=True), **off(s, learning_starts=70)),
    "dqn": lambda s: DQN("MlpPolicy", envs("CartPole-v1"), target_update_interval=30, **off(s)),
    "td3 ou": lambda s: TD3(
        "MlpPolicy", envs("Pendulum-v1", 2), action_noise=noise(OrnsteinUhlenbeckActionNoise), **off(s)
    ),
    "td3 normal": lambda s: TD3("MlpPolicy", envs("Pendulum-v1"), action_noise=noise(NormalActionNoise), **off(s)),
    "ddpg": lambda s: DDPG("MlpPolicy", "Pendulum-v1", **off(s)),
}
TOTAL = 130


class Walk(gymnasium.Env[Any, Any]):
    """A random walk whose state stands in an attribute, or is hidden from ``vars``."""

    observation_space = spaces.Box(-100, 100, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.place: Any = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.place = self.place + self.np_random.normal(size=2) * (1 + action)
        return self.seen(), float(action), bool(np.abs(self.place).max() > 6), False, {}

    def seen(self) -> Any:
        return self.place.astype(np.float32)


class Hidden(Walk):
    """Its place is in a slot-like object that cannot be read."""

    def __init__(self) -> None:
        self._box = memoryview(bytearray(16))

    @property
    def place(self) -> Any:
        return np.frombuffer(self._box, np.float64).copy()

    @place.setter
    def place(self, value: Any) -> None:
        self._box[:] = np.asarray(value, np.float64).tobytes()


class Told(Hidden):
    """Tells its state itself."""

    def get_state(self) -> Any:
        return {"place": self.place}

    def set_state(self, state: Any) -> None:
        self.place = state["place"]


class Saves:
    """Saves into numbered folders and remembers what was said."""

    def __init__(self, root: Path, **factories: Callable[[], Any]) -> None:
        self.root = root
        self.factories = factories
        self.made: list[tuple[Path, SavedItem]] = []

    def __call__(self, model: Any) -> None:
        folder = self.root / f"save-{len(self.made)}"
        folder.mkdir(parents=True)
        self.made.append((folder, save(model, folder, **self.factories)))


class Snapshots(Saves):
    """Takes snapshots, and writes them when the training is over."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.pending: list[tuple[int, Pending]] = []

    def __call__(self, model: Any) -> None:
        context = SnapshotContext(step=model.num_timesteps, memory=lambda size: memoryview(bytearray(b"\xa5" * size)))
        self.pending.append((context.step, BACKEND.snapshot(model, context=context)))

    def write(self) -> None:
        for number, (step, pending) in enumerate(self.pending):
            folder = self.root / f"save-{number}"
            folder.mkdir(parents=True)
            self.made.append((folder, pending.write(folder, context=SaveContext(step=step))))


def save(model: Any, folder: Path, **factories: Callable[[], Any]) -> SavedItem:
    return BACKEND.save(model, folder, context=SaveContext(step=model.num_timesteps, factories=factories))


def load(folder: Path, item: SavedItem, target: Any = None, **factories: Callable[[], Any]) -> Any:
    return BACKEND.load(folder, target=target, context=load_context(folder, item, **factories))


def load_context(folder: Path, item: SavedItem, **factories: Callable[[], Any]) -> LoadContext:
    return LoadContext(names(folder), metadata=item.metadata, probe=item.probe, factories=factories)


def check(folder: Path, item: SavedItem) -> list[Any]:
    return list(BACKEND.check(folder, context=CheckContext(names(folder), metadata=item.metadata)))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def train(model: Any, saves: Saves, total: int = TOTAL, every: int = 50, **more: Any) -> dict[str, str]:
    """Train to the end, saving on the way, and return the digests of all parts."""
    model.learn(total, callback=CheckpointBoundary(saves, every_steps=every, **more))
    return dict(BACKEND.digests(model))


def go_on(resumed: Any, total: int = TOTAL) -> dict[str, str]:
    """Disturb every global generator, train a loaded agent to the end, and return the digests of all parts."""
    np.random.seed(99)
    torch.manual_seed(99)
    left = total - resumed.model.num_timesteps
    resumed.model.learn(left, reset_num_timesteps=False, callback=resumed.callback)
    return dict(BACKEND.digests(resumed.model))
