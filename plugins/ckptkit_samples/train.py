"""Fit a line by gradient descent; every tenth of 50 steps is a checkpoint in `out/`. Nothing but Python is needed.

From the beginning, and from a checkpoint::

    python3 train.py
    python3 train.py --weights out/step-30/weights.json --rng out/step-30/rng.json
"""

import argparse
import json
import random
from pathlib import Path

RATE = 0.5


def main() -> None:
    """Train from the beginning, or go on from a checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, help="go on from these weights ...")
    parser.add_argument("--rng", type=Path, help="... and this random generator")
    given = parser.parse_args()
    rng = random.Random(0)
    done, slope, offset = 0, 0.0, 0.0
    if given.weights and given.rng:
        done, slope, offset = json.loads(given.weights.read_text()).values()
        rng.setstate(read_generator(given.rng))
        print(f"resumed at step {done}")
    for step in range(done + 1, 51):
        x = rng.random()
        error = slope * x + offset - (3 * x + 1)  # the line to be found is 3 x + 1
        slope, offset = slope - RATE * error * x, offset - RATE * error
        if step % 10 == 0:
            folder = Path("out") / f"step-{step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights.json").write_text(json.dumps({"step": step, "slope": slope, "offset": offset}))
            write_generator(folder / "rng.json", rng)
            print(f"step {step}  loss {error * error:.6f}")


def write_generator(path: Path, rng: random.Random) -> None:
    """Write a generator's state as `numpy.random.RandomState.get_state(legacy=False)` has it: it is the same one."""
    _, words, _ = rng.getstate()
    state = {"key": words[:-1], "pos": words[-1]}
    path.write_text(json.dumps({"bit_generator": "MT19937", "state": state, "has_gauss": 0, "gauss": 0.0}))


def read_generator(path: Path) -> tuple[int, tuple[int, ...], None]:
    """Return the state that `random.Random.setstate` takes."""
    state = json.loads(path.read_text())["state"]
    return 3, (*state["key"], state["pos"]), None


if __name__ == "__main__":
    main()
