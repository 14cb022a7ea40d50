"""Kill a program with SIGKILL at some moment of a save that goes on behind, and look at what is left.

``python kill_behind.py FOLDER TIMES`` prints one JSON document. The moments are spread over the whole save, which is
large enough to be hit in the middle of its files; the program goes on with its state meanwhile.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kill_points import in_child

from ckptkit import CheckpointStore, registry

RUN = "run"
SIZE = 1 << 20  # numbers of eight bytes


def state(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"weights": {"w": rng.random(SIZE)}, "average": {"w": rng.random(SIZE // 4)}, "rng": rng}


def train(root: Path) -> None:
    """Save behind, and go on with the state until it is saved."""
    items = state(3)
    handle = CheckpointStore(root).save(RUN, 3, items, wait=False)
    while not handle.done():
        items["weights"]["w"] *= 1.001
        items["rng"].random(100)
    handle.result()


def judge(root: Path) -> None:
    """Whatever was listed still is, and verifies; the new one is there as it was at the call, or not at all."""
    store = CheckpointStore(root, cache=False)
    listed = [one.at.step for one in store.list()]
    assert listed in ([1, 2], [1, 2, 3]), listed
    assert store.verify().exit_code == 0
    for step in listed:
        into, expected = state(9), state(step or 0)
        store.restore(f"{RUN}@{step}", into)
        for name in ("weights", "average"):
            assert np.array_equal(into[name]["w"], expected[name]["w"]), (step, name)
        assert into["rng"].random() == expected["rng"].random()
    if listed == [1, 2]:
        train(root)
        assert [one.at.step for one in store.list()] == [1, 2, 3]
        assert store.verify().exit_code == 0


def anew(pristine: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(pristine, root)


def killed(
    pristine: Path, root: Path, times: int, train: Callable[[Path], None], judge: Callable[[Path], None], new: str
) -> dict[str, Any]:
    """Kill ``train`` so many times, spread over the time that it takes, and ``judge`` what is left each time.

    Args:
        pristine: what each begins with.
        root: where it is put.
        times: how many kills.
        train: what is killed, in a child.
        judge: raises where a law is broken.
        new: the path in ``root`` that shows that all was done.
    """
    chance, lasted = random.Random(11), []
    for _ in range(3):
        anew(pristine, root)
        began = time.monotonic()
        assert in_child(lambda: train(root)) == 0
        lasted.append(time.monotonic() - began)
    done, saved, broken = 0, 0, []
    for number in itertools.count():
        if done == times or number == 2 * times:
            break
        anew(pristine, root)
        child = os.fork()
        if child == 0:
            train(root)
            os._exit(0)
        time.sleep((number % times + chance.random()) / times * min(lasted))
        os.kill(child, signal.SIGKILL)
        done += os.waitpid(child, 0)[1] == signal.SIGKILL
        saved += (root / new).exists()
        if in_child(lambda: judge(root)) != 0:
            broken.append(f"kill {number}: the traceback on stderr says which law")
    return {"killed": done, "saved": saved, "broken": broken}


def main(folder: Path, times: int) -> dict[str, Any]:
    registry.backends()
    pristine = folder / "pristine"
    for step in (1, 2):
        CheckpointStore(pristine).save(RUN, step, state(step))
    return killed(pristine, folder / "work", times, train, judge, f"{RUN}/step-00000003")


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    print(json.dumps(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))))
