"""Trainings whose state hides beside the algorithm: settings changed on the way, modules, wrappers, callbacks.

A program as well: ``python sb3_model_cases.py PLACE [NAME ...]`` runs each case three times, each in a process of its
own (a fork of one that has imported the libraries, and nothing more): without a break; killed by SIGKILL; resumed. It
prints a line of JSON for each. ``python sb3_model_cases.py --one NAME STORE TOTAL`` trains one, and can be rehearsed.
"""

import hashlib
import json
import logging
import os
import random
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from ckptkit import CheckpointStore, Schedule

RUN = "case/run"
KILL, TOTAL = 110, 192
COUNTS = {"steps": 0}
"""A module's global: no one can know that the environment ``Global`` keeps its state there."""


def cart() -> Any:
    return gymnasium.make("CartPole-v1")


def ppo(env: Any = "CartPole-v1", **more: Any) -> Any:
    settings = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 3, "device": "cpu"}
    return PPO("MlpPolicy", env, **{"policy_kwargs": {"net_arch": [8]}, **settings, **more})


def dqn(**more: Any) -> Any:
    settings = {"learning_starts": 20, "buffer_size": 150, "batch_size": 8, "seed": 3, "device": "cpu"}
    return DQN("MlpPolicy", "CartPole-v1", **{"policy_kwargs": {"net_arch": [8]}, **settings, **more})


class Each(sb3.BaseCallback):
    """Calls a function with the algorithm at one step, or at each."""

    def __init__(self, change: Callable[[Any], None], at: int | None = None) -> None:
        super().__init__()
        self.change = change
        self.at = at

    def _on_step(self) -> bool:
        if self.at in (None, self.model.num_timesteps):
            self.change(self.model)
        return True


class Kill(sb3.BaseCallback):
    def _on_step(self) -> bool:
        if self.model.num_timesteps == int(os.environ.get("CASE_KILL_AT", "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def setting(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value)


def annealed(model: Any) -> None:
    model.ent_coef = model.ent_coef * 0.99 + 1e-4


def settled_rate(model: Any) -> None:
    model.learning_rate = 1e-2
    model._setup_lr_schedule()


def rate_by_lambda(model: Any) -> None:
    rate = 1e-2 if model.num_timesteps < 64 else 2e-2
    model.lr_schedule = lambda _: rate


def gammas(model: Any) -> None:
    model.rollout_buffer.gamma = 0.5


class Rising:
    """A schedule that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, progress: float) -> float:
        self.asked += 1
        return 1e-3 * self.asked


def closure_rate() -> Callable[[float], float]:
    asked = 0

    def rate(progress: float) -> float:
        nonlocal asked
        asked += 1
        return 1e-3 * asked

    return rate


class Extractor(BaseFeaturesExtractor):
    """Features, disturbed by something that is neither a parameter nor a buffer of the state dict."""

    def __init__(self, space: Any, kind: str = "counter") -> None:
        super().__init__(space, 8)
        self.kind = kind
        self.layer = torch.nn.Linear(4, 8)
        self.dropout = torch.nn.Dropout(0.1)
        self.calls = 0
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.generator = torch.Generator().manual_seed(1)
        self.rng = np.random.default_rng(1)
        self.random = random.Random(1)
        self.last: deque[float] = deque(maxlen=3)
        self.scale = torch.ones(1)

    def forward(self, seen: Any) -> Any:
        made = self.layer(seen)
        if self.kind == "counter":
            self.calls += 1
            return made * (1 + self.calls / 1000)
        if self.kind == "buffer":
            self.mean = 0.9 * self.mean + 0.1 * seen.mean(0)
            return self.layer(seen - self.mean)
        if self.kind == "torch generator":
            return made + 0.1 * torch.randn(8, generator=self.generator)
        if self.kind == "numpy generator":
            return made * float(self.rng.uniform(0.9, 1.1))
        if self.kind == "python generator":
            return made * self.random.uniform(0.9, 1.1)
        if self.kind == "deque":
            self.last.append(float(seen[0, 0]))
            return made + sum(self.last)
        if self.kind == "tensor":
            self.scale = self.scale * 0.999
            return made * self.scale
        return self.dropout(made)


def extracted(kind: str, **more: Any) -> Any:
    kwargs = {"features_extractor_class": Extractor, "features_extractor_kwargs": {"kind": kind}, "net_arch": [8]}
    return ppo(policy_kwargs=kwargs, **more)


def frozen(model: Any) -> None:
    model.policy.mlp_extractor.requires_grad_(False)


def less_dropout(model: Any) -> None:
    model.policy.features_extractor.dropout.p *= 0.98


class Naming(VecEnvWrapper):
    """Keeps its state under a name that a class of SB3 uses as well."""

    def __init__(self, venv: Any, name: str) -> None:
        super().__init__(venv)
        self.name = name
        setattr(self, name, [0])

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        seen, rewards, dones, infos = self.venv.step_wait()
        kept = getattr(self, self.name)
        kept[0] += 1
        return seen + np.float32(kept[0] / 1000), rewards, dones, infos


class EnvNaming(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The same for a single environment; the value may lie in an object."""

    def __init__(self, env: Any, name: str, *, deep: bool = False) -> None:
        super().__init__(env)
        self.holder = type("Holder", (), {"__module__": __name__})() if deep else self
        self.name = name
        vars(self.holder)[name] = 0

    def step(self, action: Any) -> Any:
        seen, *rest = self.env.step(action)
        vars(self.holder)[self.name] += 1
        return (seen + np.float32(vars(self.holder)[self.name] / 1000), *rest)


class Global(gymnasium.Wrapper[Any, Any, Any, Any]):
    def step(self, action: Any) -> Any:
        COUNTS["steps"] += 1
        seen, *rest = self.env.step(action)
        return (seen + np.float32(COUNTS["steps"] / 1000), *rest)


def by_a_global(model: Any) -> None:
    COUNTS["callback"] = COUNTS.get("callback", 0) + 1
    model.ent_coef = 1e-4 * COUNTS["callback"]


class GlobalExtractor(Extractor):
    def forward(self, seen: Any) -> Any:
        COUNTS["policy"] = COUNTS.get("policy", 0) + 1
        return self.layer(seen) * (1 + COUNTS["policy"] / 1000)


def by_a_global_policy() -> Any:
    return ppo(policy_kwargs={"features_extractor_class": GlobalExtractor, "net_arch": [8]})


def named(name: str) -> Any:
    return ppo(Naming(DummyVecEnv([lambda: Monitor(cart())]), name))


def eval_env() -> Any:
    env = Monitor(cart())
    env.reset(seed=11)
    return env


def evaluated(**more: Any) -> Any:
    return sb3.EvalCallback(eval_env(), eval_freq=20, n_eval_episodes=2, verbose=0, **more)


class Own(sb3.BaseCallback):
    """Counters, lists, arrays and generators of a callback, all of which change the training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.totals = np.zeros(3)
        self.rng = np.random.default_rng(4)
        self.generator = torch.Generator().manual_seed(4)
        self.table = {"count": 0, "names": ("a", "b")}

    def _on_step(self) -> bool:
        self.table["count"] += 1
        self.seen.append(self.rng.random())
        self.totals += self.seen[-1]
        drawn = float(torch.rand(1, generator=self.generator))
        self.model.ent_coef = 1e-3 * (self.table["count"] + self.totals.sum() + drawn + len(self.seen))
        return True


class Toggling(sb3.BaseCallback):
    """Is as it was at the start whenever a rollout has begun for an even number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.odd = False

    def _on_rollout_start(self) -> None:
        self.odd = not self.odd

    def _on_step(self) -> bool:
        self.model.ent_coef = 0.1 if self.odd else 0.0
        return True


class Unsayable(sb3.BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.lines = (n for n in range(10**6))

    def _on_step(self) -> bool:
        self.model.ent_coef = 1e-4 * next(self.lines)
        return True


def counting() -> Callable[[Any, Any], bool]:
    count = 0

    def step(local: Any, _: Any) -> bool:
        nonlocal count
        count += 1
        local["self"].ent_coef = 1e-4 * count
        return True

    return step


def files(place: Path) -> Any:
    return sb3.CheckpointCallback(30, str(place / f"zips-{os.getpid()}"))


Case = Callable[[Path], tuple[Any, list[Any]]]
CASES: dict[str, Case] = {
    "nothing beside": lambda _: (ppo(), []),
    "a: ent_coef annealed": lambda _: (ppo(), [Each(annealed)]),
    "a: ent_coef set once": lambda _: (ppo(), [Each(setting("ent_coef", 0.1), at=40)]),
    "a: gamma": lambda _: (dqn(), [Each(setting("gamma", 0.5), at=40)]),
    "a: batch_size": lambda _: (ppo(), [Each(setting("batch_size", 8), at=40)]),
    "a: target_update_interval": lambda _: (dqn(), [Each(setting("target_update_interval", 7), at=40)]),
    "a: clip_range replaced": lambda _: (ppo(), [Each(setting("clip_range", FloatSchedule(0.01)), at=40)]),
    "a: learning rate set up anew": lambda _: (ppo(), [Each(settled_rate, at=40)]),
    "a: lr_schedule replaced, constant": lambda _: (ppo(), [Each(setting("lr_schedule", ConstantSchedule(0.01)), 40)]),
    "a: lr_schedule replaced by a lambda": lambda _: (ppo(), [Each(rate_by_lambda, at=40)]),
    "a: schedule that counts": lambda _: (ppo(learning_rate=Rising()), []),
    "a: schedule with a closure": lambda _: (ppo(learning_rate=closure_rate()), []),
    "a: gamma of the rollout buffer": lambda _: (ppo(), [Each(gammas, at=40)]),
    "b: extractor counts": lambda _: (extracted("counter"), []),
    "b: buffer not persistent": lambda _: (extracted("buffer"), []),
    "b: torch generator": lambda _: (extracted("torch generator"), []),
    "b: numpy generator": lambda _: (extracted("numpy generator"), []),
    "b: python generator": lambda _: (extracted("python generator"), []),
    "b: deque": lambda _: (extracted("deque"), []),
    "b: tensor": lambda _: (extracted("tensor"), []),
    "b: frozen on the way": lambda _: (ppo(), [Each(frozen, at=40)]),
    "b: dropout annealed": lambda _: (extracted("dropout"), [Each(less_dropout)]),
    "c: wrapper keeps actions": lambda _: (named("actions"), []),
    "c: wrapper keeps buf_infos": lambda _: (named("buf_infos"), []),
    "c: wrapper keeps reset_infos": lambda _: (named("reset_infos"), []),
    "c: wrapper keeps waiting": lambda _: (named("waiting"), []),
    "c: env keeps window": lambda _: (ppo(EnvNaming(cart(), "window")), []),
    "c: env keeps clock": lambda _: (ppo(EnvNaming(cart(), "clock")), []),
    "c: env keeps a viewer in an object": lambda _: (ppo(EnvNaming(cart(), "spec", deep=True)), []),
    "d: a global, in an environment": lambda _: (ppo(Global(cart())), []),
    "d: a global, in a callback": lambda _: (ppo(), [Each(by_a_global)]),
    "d: a global, in a policy": lambda _: (by_a_global_policy(), []),
    "e: EvalCallback, stochastic": lambda _: (ppo(), [evaluated(deterministic=False)]),
    "e: EvalCallback that writes": lambda place: (
        ppo(Monitor(cart(), str(place / "monitor.csv"))),
        [evaluated(best_model_save_path=str(place), log_path=str(place))],
    ),
    "e: EvalCallback, deterministic": lambda _: (ppo(), [evaluated()]),
    "e: StopTrainingOnMaxEpisodes": lambda _: (ppo(), [sb3.StopTrainingOnMaxEpisodes(5)]),
    "e: StopTrainingOnNoModelImprovement": lambda _: (
        ppo(),
        [evaluated(callback_after_eval=sb3.StopTrainingOnNoModelImprovement(2, min_evals=2))],
    ),
    "e: EveryNTimesteps": lambda _: (ppo(), [sb3.EveryNTimesteps(7, Own())]),
    "e: CheckpointCallback": lambda place: (ppo(), [files(place)]),
    "e: CallbackList in a list": lambda _: (ppo(), [sb3.CallbackList([sb3.CallbackList([Own()])])]),
    "e: ConvertCallback": lambda _: (ppo(), [sb3.ConvertCallback(counting())]),
    "e: own callback": lambda _: (ppo(), [Own()]),
    "e: begins with each rollout": lambda _: (ppo(), [Toggling()]),
    "e: own callback, off-policy": lambda _: (SAC("MlpPolicy", "Pendulum-v1", seed=1, learning_starts=20), [Own()]),
    "e: a generator object": lambda _: (ppo(), [Unsayable()]),
    "e: a2c, EvalCallback": lambda _: (A2C("MlpPolicy", "CartPole-v1", seed=1), [evaluated(deterministic=False)]),
}


def train(name: str, place: Path, store: Path, total: int = TOTAL) -> str:
    """Train a case with the hook, resuming if there is something to resume from; return a digest of the end."""
    from ckptkit_hooks.sb3 import CheckpointCallback

    model, callbacks = CASES[name](place)
    command = [sys.executable, __file__, "--one", name, "{store}", str(total)]
    hook = CheckpointCallback(store, RUN, schedule=Schedule(every_steps=48), resume=command)
    hook.resume_or_start(model, total, callback=[*callbacks, Kill()])
    hasher = hashlib.sha256(str((model.num_timesteps, model._last_obs.tolist())).encode())
    for key, value in sorted(model.policy.state_dict().items()):
        hasher.update(key.encode() + value.numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes() + np.random.rand(4).tobytes())
    for callback in callbacks:
        counted = {
            k: v for k, v in vars(callback).items() if isinstance(v, (int, float)) or k.startswith("evaluations")
        }
        hasher.update(repr(sorted(counted.items())).encode())
    return hasher.hexdigest()[:12]


def in_a_process(act: Callable[[], str]) -> str:
    """Return what a function says in a fork, or how that ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = act()
        except BaseException as error:  # to be told, whatever it is
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if code == 0 else f"ended by {code}"


def run(name: str, place: Path) -> dict[str, Any]:
    """Run a case three times; return what each said, the grade and its reasons."""
    os.environ.pop("CASE_KILL_AT", None)
    straight = in_a_process(lambda: train(name, place / "straight", place / "straight" / "store"))
    os.environ["CASE_KILL_AT"] = str(KILL)
    killed = in_a_process(lambda: train(name, place / "killed", place / "killed" / "store"))
    del os.environ["CASE_KILL_AT"]
    resumed = in_a_process(lambda: train(name, place / "killed", place / "killed" / "store"))
    saved = CheckpointStore(place / "killed" / "store").locate(RUN)
    found = {"case": name, "straight": straight, "killed": killed, "resumed": resumed, "equal": straight == resumed}
    if saved:
        found |= graded(saved[0].folder)
    return found


def graded(folder: Path) -> dict[str, Any]:
    items = json.loads((folder / "manifest.json").read_bytes())["items"]
    return {"captured": items["agent"].get("captured") or items["agent"].get("exactness")}


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    torch.set_num_threads(1)
    ppo()  # torch imports more of itself with the first optimizer: once for all
    if sys.argv[1] == "--one":
        _, _, name, store, total = sys.argv
        print(train(name, Path(store).with_name("files"), Path(store), int(total)))
        return
    place = Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        folder = place / name.translate({ord(c): "_" for c in " :,"})
        print(json.dumps(run(name, folder)), flush=True)


if __name__ == "__main__":
    main()
