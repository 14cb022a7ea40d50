"""SB3 set-ups that were graded `exact` and did not resume so, and those that could not be resumed at all."""

import collections
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import (
    BaseCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnvWrapper

from benchmarks.resume_matrix.setup import RUN, Setup, Train, digest
from ckptkit import Schedule

TOTAL, EVERY = 320, 48
_NOISE = np.random.default_rng(3)
_CALLS = itertools.count()
PPO = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "device": "cpu"}


class Bead(gymnasium.Env):
    """A bead on a wire; what pushes it is what each set-up is about."""

    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    __slots__ = ("free",)

    def begin(self) -> None:
        """Add the state that the set-up is about."""

    def push(self) -> float:
        """Return what pushes the bead now."""
        return 0.0

    def __init__(self) -> None:
        self.begin()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.k = float(self.np_random.normal()), 0
        return self._see(), {}

    def _see(self) -> Any:
        return np.array([self.x], np.float32).clip(-9, 9)

    def step(self, action: Any) -> Any:
        self.x, self.k = 0.9 * self.x + 0.1 * (2 * int(action) - 1) + 0.1 * self.push(), self.k + 1
        return self._see(), -abs(self.x), self.k >= 11, False, {}


class Window(Bead):
    def begin(self) -> None:
        self.window = [1.0]

    def push(self) -> float:
        self.window = [0.9 * self.window[0] + 0.1 * self.x]
        return self.window[0]


class ClassCount(Bead):
    resets = 0

    def reset(self, **more: Any) -> Any:
        ClassCount.resets += 1
        return super().reset(**more)

    def push(self) -> float:
        return 0.01 * ClassCount.resets


class GlobalNoise(Bead):
    def push(self) -> float:
        return float(_NOISE.normal())


class GlobalCount(Bead):
    def push(self) -> float:
        return 0.01 * next(_CALLS)


class GlobalRandom(Bead):
    def push(self) -> float:
        return random.random() + float(np.random.normal())


class HoldsCounter(Bead):
    def begin(self) -> None:
        self.visits: collections.Counter[int] = collections.Counter()

    def push(self) -> float:
        self.visits[round(self.x)] += 1
        return 0.01 * self.visits[0]


class HoldsTorchGenerator(Bead):
    def begin(self) -> None:
        self.own = torch.Generator().manual_seed(5)

    def push(self) -> float:
        return float(torch.randn(1, generator=self.own))


class HoldsSlots(Bead):
    def begin(self) -> None:
        self.free = 0.0

    def push(self) -> float:
        self.free += 0.01
        return self.free


class HoldsClosure(Bead):
    def begin(self) -> None:
        held = np.random.default_rng(5)
        self.draw = lambda: float(held.normal())

    def push(self) -> float:
        return self.draw()


class HoldsItertools(Bead):
    def begin(self) -> None:
        self.count = itertools.count()

    def push(self) -> float:
        return 0.001 * next(self.count)


class HoldsGeneratorObject(Bead):
    def begin(self) -> None:
        self.gusts = (float(np.sin(i)) for i in itertools.count())

    def push(self) -> float:
        return next(self.gusts)


class Recalls(VecEnvWrapper):
    """A wrapper whose attributes have names that SB3's own classes use as well."""

    def __init__(self, venv: Any) -> None:
        super().__init__(venv)
        self.actions, self.buf_infos = 0.0, 1.0

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.actions = 0.9 * self.actions + 0.1 * float(np.mean(rewards))
        self.buf_infos *= 0.99
        return observations, rewards * (1 + self.actions) * self.buf_infos, dones, infos


class Extractor(BaseFeaturesExtractor):
    """A features extractor with state beside its parameters: which one is the argument."""

    def __init__(self, space: Any, kind: str) -> None:
        super().__init__(space, 4)
        self.linear, self.kind, self.calls = torch.nn.Linear(1, 4), kind, 0
        self.own = torch.Generator().manual_seed(2)
        self.register_buffer("passing", torch.zeros(4), persistent=False)

    def forward(self, x: Any) -> Any:
        y = self.linear(x)
        if self.kind == "counter":
            self.calls += 1
            return y / (1 + 0.001 * self.calls)
        if self.kind == "buffer":
            self.passing += 0.01 * y.detach().mean(0)
            return y + self.passing
        return y + 0.1 * torch.randn(y.shape, generator=self.own)


class _Each(BaseCallback):
    def __init__(self, act: Callable[[Any], None]) -> None:
        super().__init__()
        self._act = act

    def _on_step(self) -> bool:
        self._act(self)
        return True


class Counts(BaseCallback):
    """A callback of one's own, with a counter that changes the training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def _on_step(self) -> bool:
        self.seen += 1
        self.model.ent_coef = 0.001 * self.seen
        return True


def _anneal(name: str, factor: float) -> Callable[[Any], None]:
    def act(callback: Any) -> None:
        setattr(callback.model, name, getattr(callback.model, name) * factor)

    return act


def _reschedule(callback: Any) -> None:
    if callback.num_timesteps == 40:
        callback.model.lr_schedule = lambda left: 0.02 * left


def _registered(kind: type) -> Callable[[], Any]:
    """Return what makes an environment of the class, registered with gymnasium as SB3's own are."""
    name = f"ckptkit-matrix/{kind.__name__}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, kind)
    return lambda: gymnasium.make(name)


def _worker() -> Any:
    random.seed(5)  # in the worker: else each run draws what the system gives it
    np.random.seed(5)
    return Monitor(_registered(GlobalRandom)())


def _made(env: Callable[[], Any], callbacks: Callable[[], list[Any]] = list, **more: Any) -> Train:
    def train(setup: Setup) -> str:
        model = sb3.PPO("MlpPolicy", env(), seed=1, **{**PPO, "policy_kwargs": {"net_arch": [8]}, **more})
        others = [*callbacks(), _Each(lambda callback: setup.at_step(callback.num_timesteps))]
        if setup.store is None:
            model.learn(TOTAL, callback=others)
        else:
            from ckptkit_hooks.sb3 import CheckpointCallback

            hook = CheckpointCallback(setup.store, RUN, schedule=Schedule(every_steps=EVERY), resume=setup.resume)
            model = hook.resume_or_start(model, TOTAL, callback=others)
        end = digest(model.policy.parameters())
        model.get_env().close()
        return end

    return train


def _evaluation() -> Any:
    env = DummyVecEnv([_registered(Bead)])
    env.seed(3)  # else each run evaluates, and stops, as chance has it
    return env


def _evaluated() -> list[Any]:
    return [EvalCallback(_evaluation(), eval_freq=20, n_eval_episodes=2, deterministic=False, verbose=0)]


def _patient() -> list[Any]:
    stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=4, min_evals=6, verbose=0)
    return [EvalCallback(_evaluation(), callback_after_eval=stop, eval_freq=20, n_eval_episodes=1, verbose=0)]


def setups() -> Iterator[tuple[str, Train]]:
    """Yield the set-ups by name."""
    own = {"features_extractor_class": Extractor, "net_arch": [8]}
    attributes = {
        "nothing beside": _made(_registered(Bead)),
        "ent_coef changed": _made(_registered(Bead), lambda: [_Each(_anneal("ent_coef", 0.97))], ent_coef=0.1),
        "gamma changed": _made(_registered(Bead), lambda: [_Each(_anneal("gamma", 0.999))]),
        "lr_schedule replaced": _made(_registered(Bead), lambda: [_Each(_reschedule)]),
        **{
            f"features extractor's {kind}": _made(
                _registered(Bead), policy_kwargs={**own, "features_extractor_kwargs": {"kind": kind}}
            )
            for kind in ("counter", "buffer", "generator")
        },
        "VecEnvWrapper's actions and buf_infos": _made(lambda: Recalls(DummyVecEnv([_registered(Bead)]))),
        "env's window": _made(_registered(Window)),
    }
    outside = {
        "env's class attribute": _made(_registered(ClassCount)),
        "module global, generator": _made(_registered(GlobalNoise)),
        "module global, itertools.count": _made(_registered(GlobalCount)),
        "np.random and random in step, Subproc": _made(lambda: SubprocVecEnv([_worker] * 2, start_method="fork")),
        "np.random and random in step": _made(_registered(GlobalRandom)),
        "EvalCallback(deterministic=False)": _made(_registered(Bead), _evaluated),
        "StopTrainingOnMaxEpisodes": _made(_registered(Bead), lambda: [StopTrainingOnMaxEpisodes(25)]),
        "StopTrainingOnNoModelImprovement": _made(_registered(Bead), _patient),
        "EveryNTimesteps": _made(_registered(Bead), lambda: [EveryNTimesteps(30, _Each(_anneal("gamma", 0.99)))]),
        "callback of one's own": _made(_registered(Bead), lambda: [Counts()]),
    }
    held = {f"env holds {kind.__name__.removeprefix('Holds')}": _made(_registered(kind)) for kind in _HOLDERS}
    box2d = {"LunarLander, plain": _made(lambda: gymnasium.make("LunarLander-v3"))}
    for name, train in {**attributes, **outside, **held, **box2d}.items():
        yield f"SB3 {name}", train


_HOLDERS = (HoldsCounter, HoldsTorchGenerator, HoldsSlots, HoldsClosure, HoldsItertools, HoldsGeneratorObject)
