"""Saving changes nothing: the same loop with and without saves; and a resume without any seed is the run that goes on.

This file is the training script as well: as a program it imports the frameworks once, and forks for each run.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix

RUN, STEPS, HALF = "loop/run1", 8, 4
KINDS = ("numpy", "global", "policy", "data", "all")


class Loop:
    """One training loop that draws from every generator there is; ``kind`` says which items it saves."""

    def __init__(self, kind: str, seeded: bool) -> None:
        import random

        import numpy as np
        import tensorflow as tf
        import torch
        from ckptkit_numpy import GlobalRng
        from ckptkit_safetensors import Policy
        from ckptkit_tfdata import PersistentIterator

        if seeded:
            random.seed(1)
            np.random.seed(2)
            torch.manual_seed(3)
        self.rng = np.random.default_rng(4 if seeded else None)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1))
        self.policy = Policy(net, torch.optim.Adam(net.parameters(), lr=0.01))
        rows = tf.data.Dataset.range(48).shuffle(12, seed=5).map(lambda n: tf.cast(n, tf.float32) / 48)
        self.data = PersistentIterator(lambda: rows.repeat().batch(4))
        self.net = net
        items = {"numpy": self.rng, "global": GlobalRng(), "policy": self.policy, "data": self.data}
        self.items: dict[str, Any] = items if kind == "all" else {kind: items[kind]}

    def step(self) -> str:
        """Train one step; return a digest of what came of it."""
        import random

        import numpy as np
        import torch

        row = np.asarray(next(self.data)) + self.rng.normal(size=4) + np.random.normal(size=4) + random.random()
        loss = self.net(torch.tensor(row, dtype=torch.float32)).square().sum()
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        values = [p.detach().numpy() for p in self.net.parameters()]
        return hashlib.sha256(row.tobytes() + b"".join(v.tobytes() for v in values)).hexdigest()[:12]


def plain(kind: str) -> list[str]:
    loop = Loop(kind, seeded=True)
    return [loop.step() for _ in range(STEPS)]


def saved_at_each_step(kind: str, place: Path) -> list[str]:
    loop, store, trace = Loop(kind, seeded=True), CheckpointStore(place / kind), []
    for step in range(1, STEPS + 1):
        trace.append(loop.step())
        store.save(RUN, step, loop.items)
    return trace


def goes_on(place: Path) -> list[str]:
    loop, store = Loop("all", seeded=False), CheckpointStore(place / "unseeded")
    for _ in range(HALF):
        loop.step()
    store.save(RUN, HALF, loop.items)
    return [loop.step() for _ in range(HALF, STEPS)]


def resumed(place: Path) -> list[str]:
    loop = Loop("all", seeded=False)
    CheckpointStore(place / "unseeded").restore(RUN, loop.items)
    return [loop.step() for _ in range(HALF, STEPS)]


def in_a_fork(work: Callable[[], list[str]]) -> list[str]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            answer = work()
        except BaseException as error:
            answer = [f"{type(error).__name__}: {error}"]
        with os.fdopen(writing, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(text or '["no answer"]')
    return found


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, str(tmp_path_factory.mktemp("loops"))],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **quiet},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_that_saves_at_each_step_does_at_each_what_it_does_without(
    traces: dict[str, list[str]], kind: str
) -> None:
    assert len(set(traces["plain"])) == STEPS
    assert traces[f"saved {kind}"] == traces["plain"]


def test_a_resume_without_any_seed_does_what_the_same_process_goes_on_to_do(traces: dict[str, list[str]]) -> None:
    assert len(set(traces["goes on"])) == STEPS - HALF
    assert traces["resumed"] == traces["goes on"]


def main(place: Path) -> None:
    import tensorflow  # noqa: F401 - once for all forks
    import torch  # noqa: F401 - likewise

    told = {"plain": in_a_fork(lambda: plain("all"))}
    for kind in KINDS:
        told[f"saved {kind}"] = in_a_fork(lambda kind=kind: saved_at_each_step(kind, place))  # type: ignore[misc]
    told["goes on"] = in_a_fork(lambda: goes_on(place))
    told["resumed"] = in_a_fork(lambda: resumed(place))
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
