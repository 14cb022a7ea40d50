"""Table of exact resume for Stable-Baselines3: algorithm x environment x save point, bytes, milliseconds, probe share.

    python benchmarks/exact_resume_sb3.py [--only PATTERN]

For each pair of algorithm and environment, each in a process of its own: (1) trains without any checkpoint, then trains
some more, then plays one episode; (2) trains the same, saves at three points, and is killed by SIGKILL; (3..5) load one
of the saves into an agent built with another seed, and go on as (1) did. *Exact* is: equal digests of parameters,
optimizers, replay buffer, generators, environments, and of the actions and rewards of the episode. Prints Markdown.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from ckptkit_sb3 import CheckpointBoundary, Sb3Backend, checkpointable
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from ckptkit.backend import LoadContext, SaveContext

BACKEND = Sb3Backend()
FIRST, MORE = 120, 60  # steps, by all environments together: of the training that is killed, and after it
EPISODE = 37  # steps after which an episode is cut, so that some end in a short run
POINTS = ("rollout end", "episode end", "end of learn")


def single(name: str, **more: Any) -> Callable[[], Any]:
    return lambda: gymnasium.make(name, max_episode_steps=EPISODE, **more)


def dummy(factory: Callable[[], Any], count: int = 1) -> Callable[[], Any]:
    return lambda: DummyVecEnv([factory] * count)


def subproc(factory: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: SubprocVecEnv([factory] * 2, start_method="fork")


def normalized(factory: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: VecNormalize(factory())


def kinds(inner: Callable[[], Any], name: str) -> dict[str, Callable[[], Any]]:
    return {
        name: dummy(inner),
        f"{name}, VecNormalize": normalized(dummy(inner)),
        f"{name}, 2 Dummy": dummy(inner, 2),
        f"{name}, 2 Subproc": subproc(inner),
    }


CART, PENDULUM = single("CartPole-v1"), single("Pendulum-v1")
DISCRETE = {
    **kinds(CART, "CartPole"),
    "ALE Breakout, RAM": dummy(single("ALE/Breakout-v5", obs_type="ram")),
    "Box2D LunarLander, replay": dummy(checkpointable(single("LunarLander-v3"), replay=True)),
}
CONTINUOUS = {
    **kinds(PENDULUM, "Pendulum"),
    "MuJoCo HalfCheetah": dummy(single("HalfCheetah-v5")),
    "Box2D BipedalWalker, replay": dummy(checkpointable(single("BipedalWalker-v3"), replay=True)),
}
OUT_OF_REACH = {
    "Box2D LunarLander, plain": dummy(single("LunarLander-v3")),
}


def noise() -> Any:
    return OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.3 * np.ones(1))


def algorithms() -> dict[str, tuple[Callable[[Any, int], Any], dict[str, Callable[[], Any]]]]:
    import sb3_contrib

    small = {"device": "cpu", "policy_kwargs": {"net_arch": [16]}}
    lstm = {"device": "cpu", "policy_kwargs": {"net_arch": [16], "lstm_hidden_size": 8}}
    ppo = {"n_steps": 16, "batch_size": 16, "n_epochs": 2}
    off = {"learning_starts": 30, "buffer_size": 1000, "batch_size": 16, **small}

    def made(kind: Any, policy: str = "MlpPolicy", **more: Any) -> Callable[[Any, int], Any]:
        return lambda env, seed: kind(policy, env, seed=seed, **more)

    def td3(env: Any, seed: int) -> Any:
        return sb3.TD3("MlpPolicy", env, seed=seed, action_noise=noise(), **off)

    both = {**DISCRETE, **CONTINUOUS}
    return {
        "PPO": (made(sb3.PPO, **ppo, **small), {**both, **OUT_OF_REACH}),
        "A2C": (made(sb3.A2C, **small), both),
        "RecurrentPPO": (made(sb3_contrib.RecurrentPPO, "MlpLstmPolicy", **ppo, **lstm), both),
        "SAC": (made(sb3.SAC, **off), CONTINUOUS),
        "TD3, OU noise": (td3, {k: v for k, v in CONTINUOUS.items() if "Pendulum" in k}),
        "TD3": (made(sb3.TD3, **off), {k: v for k, v in CONTINUOUS.items() if "Pendulum" not in k}),
        "TQC": (made(sb3_contrib.TQC, **off), CONTINUOUS),
        "DQN": (made(sb3.DQN, target_update_interval=40, **off), DISCRETE),
        "QRDQN": (made(sb3_contrib.QRDQN, target_update_interval=40, **off), DISCRETE),
    }


def outcome(model: Any) -> dict[str, str]:
    """Return the digests of all parts, and of the actions and rewards of the episode that follows."""
    found = dict(BACKEND.digests(model))
    hasher, observation = hashlib.sha256(), model._last_obs
    for _ in range(EPISODE):
        actions, _ = model.predict(observation, deterministic=False)
        observation, rewards, done, _ = model.env.step(actions)
        hasher.update(actions.tobytes() + rewards.tobytes() + done.tobytes())
        if done.all():
            break
    return {**found, "following episode": hasher.hexdigest()}


def uninterrupted(make: Callable[[int], Any]) -> dict[str, str]:
    model = make(1)
    model.learn(FIRST)
    model.learn(MORE, reset_num_timesteps=False)
    return outcome(model)


def killed(make: Callable[[int], Any], folder: Path) -> None:
    def save(point: str) -> Callable[[Any], None]:
        def now(model: Any) -> None:
            place = folder / point
            if place.exists():
                return
            place.mkdir()
            item = BACKEND.save(model, place, context=SaveContext(step=model.num_timesteps))
            said = {"grade": item.captured.grade, "reason": item.captured.reasons, "boundary": item.boundary}
            (folder / f"{point}.json").write_text(json.dumps({**item.metadata, **said}))

        return now

    model = make(1)
    model.learn(
        FIRST,
        callback=[
            CheckpointBoundary(save(POINTS[0]), every_steps=40, mid_rollout=False),
            CheckpointBoundary(save(POINTS[1]), every_episodes=1),
        ],
    )
    save(POINTS[2])(model)
    os.kill(os.getpid(), signal.SIGKILL)


def resumed(make: Callable[[int], Any], folder: Path, point: str) -> dict[str, str]:
    place = folder / point
    context = LoadContext(sorted(p.name for p in place.iterdir()), metadata={"captured": True})
    found = BACKEND.load(place, target=make(7), context=context)
    if point == POINTS[2]:
        found.model.learn(MORE, reset_num_timesteps=False, callback=found.callback)
    else:
        np.random.seed(3)  # what a training script may do before it goes on: learn() puts the generators back
        torch.manual_seed(3)
        found.learn(FIRST)
        found.model.learn(MORE, reset_num_timesteps=False)
    return outcome(found.model)


def in_a_process(work: Callable[[], Any]) -> Any:
    """Return what the work returns (JSON) when it is done in a forked process; None when that was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            os.setsid()  # so that the workers of its vector environments can be ended with it
            os.write(writer, json.dumps(work()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status):
        raise RuntimeError("the process failed; see above")
    return json.loads(answer)


@dataclass(frozen=True, slots=True)
class Save:
    """One save point: whether a resume was exact, why not if the save said so, and what the save cost."""

    exact: str
    cause: str
    costs: tuple[float, ...]  # zip in kB, in ms, beside it in kB, in ms, probe in per cent of the save


def saves_of(build: Callable[[Any, int], Any], env: Callable[[], Any]) -> tuple[str, list[Save]]:
    """Return by which way the environment's state was taken, and what came of each save point."""

    def make(seed: int) -> Any:
        return build(env(), seed)

    made, way = [], ""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expected = in_a_process(lambda: uninterrupted(make))
        if in_a_process(lambda: killed(make, folder)) is not None:
            raise RuntimeError("it was to be killed")
        for point in POINTS:
            said = json.loads((folder / f"{point}.json").read_text())
            found = in_a_process(lambda point=point: resumed(make, folder, point))
            different = sorted(part for part in expected if found.get(part) != expected[part])
            way = ", ".join(sorted({e["strategy"] for e in said["environments"]}))
            made.append(Save(judged(said, different), said["reason"] or "", costs(said)))
    return way, made


def judged(said: dict[str, Any], different: list[str]) -> str:
    at = said["boundary"]
    exact = "yes" if not different else "**no**"
    if said["grade"] != "complete":
        exact += f", graded {said['grade']}"
    elif different:
        exact += f", in {', '.join(different[:3])}"
    return f"{exact}, {at['requested_at']} → {at['saved_at']}" if at and at["requested_at"] != at["saved_at"] else exact


def costs(said: dict[str, Any]) -> tuple[float, ...]:
    ms = {part: float(said[f"{part}_ms"]) for part in ("zip", "beside", "probe")}
    sizes = (said["zip_bytes"] / 1000, said["beside_bytes"] / 1000)
    return sizes[0], ms["zip"], sizes[1], ms["beside"], 100 * ms["probe"] / sum(ms.values())


def line(name: str, where: str, way: str, saves: list[Save]) -> str:
    """Return one row of the table; costs are medians over the save points."""
    zipped, zip_ms, beside, beside_ms, probe = map(statistics.median, zip(*(s.costs for s in saves), strict=True))
    cells = [name, where, way, *(s.exact for s in saves)]
    cells += [f"{zipped:.0f} kB, {zip_ms:.0f} ms", f"{beside:.0f} kB, {beside_ms:.0f} ms", f"{probe:.0f} %"]
    return f"| {' | '.join(cells)} |"


HEAD = ["algorithm", "environment", "its state by", *POINTS, "zip", "beside it", "probe"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression for 'algorithm / environment'")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    torch.set_num_threads(1)
    import ale_py

    gymnasium.register_envs(ale_py)
    os.chdir(tempfile.mkdtemp())  # MuJoCo writes a log into the current folder
    pairs = [
        (name, build, where, env)
        for name, (build, places) in algorithms().items()
        for where, env in places.items()
        if re.search(options.only, f"{name} / {where}")
    ]
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD), flush=True)
    inexact, causes = 0, list[str]()
    for name, build, where, env in pairs:
        way, saves = saves_of(build, env)
        print(line(name, where, way, saves), flush=True)
        inexact += sum(s.exact.startswith("**no") and "graded" not in s.exact for s in saves)
        causes += sorted({f"- {name}, {where}: {s.cause}" for s in saves if s.cause})
    print("", *causes, sep="\n")
    print(f"{len(pairs)} pairs, {3 * len(pairs)} save points; {inexact} not exact without saying so", file=sys.stderr)
    return int(inexact > 0)


if __name__ == "__main__":
    sys.exit(main())
