"""Environments with state in every place, and trainings in them; as a program, it trains or goes on with each of them.

``python sb3_worlds.py STORE [NAME ...]`` prints, as JSON by name of the training: the digests of all parts at its end,
the grades of its checkpoints, and what was said of the resume.
"""

import enum
import itertools
import json
import logging
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from ckptkit import Schedule

EVERY, TOTAL = 50, 76
EPISODES = 0


class World(gymnasium.Env[Any, Any]):
    """Ends after 9 steps; subclasses say what moves it."""

    observation_space = spaces.Box(-50, 50, (2,), np.float32)
    action_space: Any = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at, self.count = float(self.np_random.normal()), 0
        return self.seen(), {}

    def seen(self) -> Any:
        return np.array([self.at, self.count], np.float32).clip(-50, 50)

    def push(self) -> float:
        return float(self.np_random.normal())

    def step(self, action: Any) -> Any:
        self.at, self.count = 0.8 * self.at + float(np.sum(action)) - 1 + self.push(), self.count + 1
        return self.seen(), -abs(self.at), self.count >= 9, False, {}


class Counted(World):
    """Counts the resets of all environments of its class, and those of its module."""

    resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        global EPISODES
        type(self).resets += 1
        EPISODES += 1
        return super().reset(seed=seed)

    def push(self) -> float:
        return 0.01 * self.resets + 0.02 * EPISODES


class Global(World):
    """Draws from the generators of the process."""

    def push(self) -> float:
        return float(np.random.normal()) + random.random()


class Slotted:
    __slots__ = ("pushes",)


class Many(World):
    """Holds state in what Python's library offers."""

    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = random.Random(4)
        self.seen_at: Any = Counter()
        self.last: Any = defaultdict(list)
        self.order = OrderedDict(a=1)
        self.turn, self.number = itertools.cycle([1.0, -1.0, 0.5]), itertools.count(3)
        self.few: Any = deque(maxlen=3)
        self.slotted = Slotted()
        self.slotted.pushes = 0
        self.torch = torch.Generator()

    def push(self) -> float:
        self.slotted.pushes += 1
        self.seen_at[round(self.at)] += 1
        self.last[self.count].append(self.at)
        self.order.move_to_end("a")
        self.few.append(self.own.random())
        drawn = float(torch.rand(1, generator=self.torch))
        return sum(self.few) + drawn + next(self.turn) + 0.01 * (next(self.number) + self.seen_at[0])


class Mood(enum.Enum):
    CALM = 0.0
    WILD = 1.0


class Place(NamedTuple):
    x: float
    mood: Mood


class Enemy:
    def __init__(self, at: float) -> None:
        self.at, self.speed = at, 0.5


class Board:
    def __init__(self, enemies: list[Enemy]) -> None:
        self.enemies, self.first = enemies, enemies[0]


class Laid(World):
    """Makes its objects when it is reset, and more of them as it plays."""

    board: Any = None
    place: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        seen = super().reset(seed=seed)
        self.board = Board([Enemy(float(self.np_random.normal()))])
        self.place = Place(self.at, Mood.CALM)
        return seen

    def push(self) -> float:
        for enemy in self.board.enemies:
            enemy.at += enemy.speed
        if self.count % 3 == 0:
            self.board.enemies.append(Enemy(self.at))
            self.board.first = self.board.enemies[-1]
        self.place = Place(self.at, Mood.WILD if self.at > 0 else Mood.CALM)
        return 0.1 * float(self.board.first.at) + float(self.place.mood.value) + float(self.np_random.normal())


class Closed(World):
    """Keeps its state in a closure, where it cannot be read."""

    def __init__(self) -> None:
        places = [0.0]

        def move() -> float:
            places[0] += 1
            return places[0]

        self.push = move  # type: ignore[method-assign]


class Masked(World):
    def action_masks(self) -> Any:
        return np.array([True, self.count % 2 == 0, True])

    def step(self, action: Any) -> Any:
        assert self.action_masks()[int(action)], "an action that is not allowed"
        return super().step(action)


class Goal(World):
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space: Any = spaces.Dict(
        {name: spaces.Box(-50, 50, (1,), np.float32) for name in ("observation", "achieved_goal", "desired_goal")}
    )

    def seen(self) -> Any:
        here = np.array([self.at], np.float32).clip(-50, 50)
        return {"observation": here, "achieved_goal": here, "desired_goal": np.ones(1, np.float32)}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -np.abs(achieved - desired).sum(axis=-1)


Make = Callable[[Callable[[], Any]], Any]


def dummy(make: Callable[[], Any]) -> Any:
    return DummyVecEnv([lambda: Monitor(make())] * 2)


def subproc(make: Callable[[], Any]) -> Any:
    def made() -> Any:
        random.seed(6)  # Python seeds it anew in each forked process
        return Monitor(make())

    return SubprocVecEnv([made] * 2, start_method="fork")


def normalized(make: Callable[[], Any]) -> Any:
    return VecNormalize(subproc(make))


def pendulum() -> Any:
    return gymnasium.make("Pendulum-v1")


def lander() -> Any:
    return gymnasium.make("LunarLander-v3")


def agent(name: str, seed: int | None = None) -> Any:
    algorithm, make, around, own_seed = TRAININGS[name]
    seed = own_seed if seed is None else seed
    common: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "device": "cpu", "seed": seed}
    env, policy = around(make), "MlpPolicy"
    if algorithm == "HER":
        more = {"replay_buffer_class": sb3.HerReplayBuffer, "learning_starts": 20, "buffer_size": 300, "batch_size": 8}
        return sb3.SAC("MultiInputPolicy", env, **more, **common)
    if algorithm == "SAC":
        return sb3.SAC(policy, env, learning_starts=20, buffer_size=300, batch_size=8, **common)
    if algorithm == "A2C":
        return sb3.A2C(policy, env, **common)
    if algorithm == "MaskablePPO":
        from sb3_contrib import MaskablePPO

        return MaskablePPO(policy, env, n_steps=12, batch_size=12, **common)
    return sb3.PPO(policy, env, n_steps=12, batch_size=12, **common)


TRAININGS: dict[str, tuple[str, Callable[[], Any], Make, int | None]] = {
    "ppo subproc": ("PPO", pendulum, subproc, 1),
    "ppo subproc normalized": ("PPO", pendulum, normalized, 1),
    "a2c subproc": ("A2C", pendulum, subproc, None),
    "a2c subproc normalized": ("A2C", pendulum, normalized, 1),
    "sac subproc": ("SAC", pendulum, subproc, 1),
    "sac subproc normalized": ("SAC", pendulum, normalized, None),
    "global generators subproc": ("A2C", Global, subproc, 1),
    "global generators": ("A2C", Global, dummy, None),
    "counts subproc": ("PPO", Counted, subproc, None),
    "counts": ("PPO", Counted, dummy, 1),
    "python's library": ("PPO", Many, dummy, None),
    "python's library subproc": ("A2C", Many, subproc, 1),
    "laid out at reset": ("PPO", Laid, dummy, None),
    "laid out at reset subproc": ("A2C", Laid, subproc, 1),
    "maskable": ("MaskablePPO", Masked, dummy, None),
    "her": ("HER", Goal, dummy, 1),
    "closure": ("A2C", Closed, dummy, 1),
    "closure subproc": ("A2C", Closed, subproc, 1),
    "lander": ("PPO", lander, dummy, 1),
}
LOST = ("closure", "closure subproc", "lander")
"""Trainings in environments whose state cannot be captured."""


def main(store: str, names: list[str]) -> None:
    from ckptkit_hooks.sb3 import CheckpointCallback
    from ckptkit_sb3 import Sb3Backend

    from ckptkit import CheckpointStore

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logging.getLogger("ckptkit").addHandler(Said(logging.WARNING))
    logging.getLogger("ckptkit_hooks").addHandler(Said(logging.WARNING))
    torch.set_num_threads(1)
    ended = {}
    for name in names or TRAININGS:
        lines: list[str] = []
        run = name.replace(" ", "-").replace("'", "")
        model = CheckpointCallback(store, run, schedule=Schedule(every_steps=EVERY)).resume_or_start(agent(name), TOTAL)
        grades = [listed.summary.grade for listed in CheckpointStore(store).list(run) if listed.summary]
        digests = dict(Sb3Backend().digests(model))
        ended[name] = {"digests": digests, "steps": model.num_timesteps, "grades": grades, "said": lines}
        model.env.close()
    print(json.dumps(ended))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
