"""What a save of an SB3 agent costs beside SB3's own: zip, all that is beside it, the probe, and the commit.

    python benchmarks/save_cost_sb3.py [--saves N]

Each agent is saved by SB3 and by the store in turns, in one process; the first save, which waits for the self-test of
the environments, stands alone. Prints a Markdown table of medians in milliseconds. *ratio* is the whole save (zip,
beside, probe and commit), divided by SB3's own save and the commit. *CPU ratio* is the same of processor time, save by
save: it does not see the disk, nor who else uses the machine.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import stable_baselines3 as sb3
import torch
from ckptkit_sb3.backend import Sb3Backend
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from ckptkit import CheckpointStore
from ckptkit.backend import SaveContext

PARTS = ("zip_ms", "beside_ms", "probe_ms")


def workers() -> Any:
    made = [lambda: gymnasium.make("Pendulum-v1")] * 2
    return VecNormalize(SubprocVecEnv(made, start_method="fork"))


AGENTS: dict[str, Callable[[], Any]] = {
    "PPO, CartPole": lambda: sb3.PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu"),
    "PPO, 8 CartPole": lambda: sb3.PPO("MlpPolicy", make_vec_env("CartPole-v1", 8), n_steps=16, device="cpu"),
    "PPO, 2 Pendulum in workers, VecNormalize": lambda: sb3.PPO("MlpPolicy", workers(), n_steps=64, device="cpu"),
    "SAC, Pendulum": lambda: sb3.SAC("MlpPolicy", "Pendulum-v1", buffer_size=5000, device="cpu"),
}


def measure(model: Any, folder: Path, saves: int) -> list[float]:
    """Return milliseconds: SB3's own save, zip, beside, probe, commit, the whole of the first save, CPU ratio."""
    store = CheckpointStore(folder / "store")
    model.learn(300)
    rows = []
    for i in range(saves + 1):
        started, cpu = time.perf_counter(), [time.process_time()]
        model.save(folder / "own.zip")
        own = time.perf_counter() - started
        cpu.append(time.process_time())
        started = time.perf_counter()
        saved = store.save("run", i, {"agent": model})
        whole = time.perf_counter() - started
        cpu.append(time.process_time())
        (folder / str(i)).mkdir()
        Sb3Backend().save(model, folder / str(i), context=SaveContext(step=i))
        cpu.append(time.process_time())
        parts = [float(saved.manifest.items["agent"].metadata[part]) for part in PARTS]
        rows.append([own * 1000, *parts, whole * 1000 - sum(parts), whole * 1000, _ratio(cpu)])
    medians = [statistics.median(column) for column in zip(*rows[1:], strict=True)]
    return [*medians[:5], rows[0][5], medians[6]]


def _ratio(times: list[float]) -> float:
    """Return the whole divided by SB3's own save and what the store adds to the backend's."""
    own, whole, backend = (after - before for before, after in pairwise(times))
    return whole / (own + whole - backend)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--saves", type=int, default=15)
    saves = parser.parse_args().saves
    torch.set_num_threads(1)
    print("| agent | SB3's own save | zip | beside it | probe | commit | ratio | CPU ratio | first save |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, make in AGENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            model = make()
            own, packed, beside, probe, commit, first, cpu = measure(model, Path(folder), saves)
            model.env.close()
        columns = [f"{value:.1f}" for value in (own, packed, beside, probe, commit)]
        ratio = (packed + beside + probe + commit) / (own + commit)
        print(f"| {name} | {' | '.join(columns)} | {ratio:.2f} | {cpu:.2f} | {first:.0f} |", flush=True)


if __name__ == "__main__":
    main()
