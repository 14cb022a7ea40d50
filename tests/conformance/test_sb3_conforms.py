"""The laws for ``sb3``: on-policy and off-policy agents, discrete and continuous, a few steps each."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import changed_agents
import pytest
from ckptkit_sb3 import Sb3Backend

from ckptkit.backend import Grade, LoadContext
from ckptkit.testing import BackendTests

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PENDING: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The callback that finishes the restore of an agent in its first ``learn``."""


def cart_pole() -> Any:
    import gymnasium

    return gymnasium.make("CartPole-v1")


def sealed_cart_pole() -> Any:
    """Return one with something on it that no file can hold."""
    env = cart_pole()
    env.unwrapped.sealed = memoryview(bytearray(8))
    return env


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


def swapped(digits: str) -> str:
    """Change one word of a Mersenne Twister in torch's layout (header of 24 bytes, then the words)."""
    return digits[:64] + ("1" if digits[64] != "1" else "2") + digits[65:]


def other(number: Mapping[str, str]) -> dict[str, str]:
    """Change an integer of 128 bits, as our JSON tags it."""
    return {"$number": str(int(number["$number"]) ^ 2)}


def edit_rows(folder: Path, name: str) -> None:
    """Lose the content of one array of the replay buffer."""
    import numpy as np

    with np.load(folder / "replay_buffer.npz") as file:
        rows = {key: file[key] for key in file.files}
    rows[name] = np.zeros_like(rows[name])
    np.savez(folder / "replay_buffer.npz", **rows)


def edit_tensors(folder: Path, member: str, change: Callable[[Any], None]) -> None:
    """Change what torch saved in one member of the zip."""
    import torch

    path = folder / "model.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    state = torch.load(io.BytesIO(members[member]), weights_only=True)
    change(state)
    stream = io.BytesIO()
    torch.save(state, stream)
    members[member] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def forget_moments(state: Any) -> None:
    for moments in state["state"].values():
        moments["exp_avg"].zero_()


def forget_weights(state: Any) -> None:
    next(iter(state.values())).zero_()


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3 notes the time in zip and algorithm, and the backend how long a save took: else no two are alike."""
    now = time.localtime()
    monkeypatch.setattr(time, "localtime", lambda _=None: now)
    for clock, kind in {"time": float, "time_ns": int, "perf_counter": float}.items():
        monkeypatch.setattr(time, clock, lambda kind=kind: kind(1_700_000_000))


class TestPpo(BackendTests):
    backend = Sb3Backend
    changes = changed_agents.ON_POLICY
    steps = 3
    rollout = 16
    inner = ("environments", 0, "attributes", 0)
    optimizer = "policy.optimizer.pth"

    def make_item(self) -> Any:
        return self._build(width=8)

    def make_misfit(self) -> Any:
        return self._build(width=9)

    def lesser_items(self) -> Mapping[Grade, Callable[[], Any]]:
        return {"partial": lambda: self._build(width=8, env=sealed_cart_pole())}

    def changed_items(self) -> Mapping[str, changed_agents.Story]:
        return changed_agents.stories(self.make_item, self.changes)

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
            "numpy's random state": lambda folder: edit(
                folder, ["rng", "numpy", "state", "state", "key", 7], lambda word: word ^ 1
            ),
            "torch's random state": lambda folder: edit(folder, ["rng", "torch", 0], swapped),
            "the generator of the action space": lambda folder: edit(
                folder, ["spaces", "items", 0, "generators", 0, "state", "state", "state"], other
            ),
            "the last observation": lambda folder: edit(folder, ["observations", "items", 0, "hex"], zeros),
            "the update counter": lambda folder: edit(folder, ["attributes", "_n_updates"], lambda count: count + 1),
            "the state of the environment": lambda folder: edit(folder, [*self.inner, "state", "hex"], zeros),
            "the generator of the environment": lambda folder: edit(
                folder, [*self.inner, "_np_random", "state", "state", "state"], other
            ),
            "the steps of the time limit": lambda folder: edit(
                folder, ["environments", 0, "attributes", 3, "_elapsed_steps"], lambda count: count + 1
            ),
            "the weights": lambda folder: edit_tensors(folder, "policy.pth", forget_weights),
            "the optimizer's moments": lambda folder: edit_tensors(folder, self.optimizer, forget_moments),
        }

    def _build(self, width: int, env: Any = None) -> Any:
        from stable_baselines3 import PPO

        shape = {"net_arch": [width]}
        return PPO(
            "MlpPolicy", env or cart_pole(), n_steps=self.rollout, batch_size=8, n_epochs=2, seed=0, policy_kwargs=shape
        )


class TestDqn(TestPpo):
    changes = changed_agents.OFF_POLICY

    def _build(self, width: int, env: Any = None) -> Any:
        from stable_baselines3 import DQN

        shape = {"net_arch": [width]}
        return DQN(
            "MlpPolicy", env or cart_pole(), learning_starts=8, buffer_size=200, batch_size=8, train_freq=4,
            target_update_interval=8, seed=0, policy_kwargs=shape,
        )  # fmt: skip

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        rows = {
            f"the {name} in the replay buffer": lambda folder, name=name: edit_rows(folder, name)
            for name in ("observations", "actions", "rewards")
        }
        return {**super().ablations(), **rows}


@pytest.mark.matrix
class TestTd3(TestDqn):
    """With what stands around an agent: action noise with a memory, and a VecNormalize."""

    optimizer = "critic.optimizer.pth"
    changes = changed_agents.NORMALIZED

    def lesser_items(self) -> Mapping[Grade, Callable[[], Any]]:
        return {}

    def ablations(self) -> Mapping[str, Callable[[Path], None]]:
        normalize: list[Any] = ["wrappers", 0, "attributes"]
        return {
            **super().ablations(),
            "the memory of the action noise": lambda folder: edit(
                folder, ["noise", "attributes", "noise_prev", "hex"], zeros
            ),
            "the returns of VecNormalize": lambda folder: edit(folder, [*normalize, "returns", "hex"], zeros),
            "the mean of VecNormalize": lambda folder: edit(
                folder, [*normalize, "obs_rms", "attributes", "mean", "hex"], zeros
            ),
            "the original observation": lambda folder: edit(folder, ["observations", "items", 2, "hex"], zeros),
        }

    def _build(self, width: int, env: Any = None) -> Any:
        import gymnasium
        import numpy as np
        from stable_baselines3 import TD3
        from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
        noise = OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.3 * np.ones(1))
        shape = {"net_arch": [width]}
        return TD3(
            "MlpPolicy", env, learning_starts=8, buffer_size=200, batch_size=8, train_freq=4, action_noise=noise,
            seed=0, policy_kwargs=shape,
        )  # fmt: skip
