"""Does a save cost more because a run has saved much before?

``python -m benchmarks.flat_saves [--most 5000]`` saves one small item again and again into one run, and prints the CPU
milliseconds of a save (median and quartiles of the twenty around each mark), the ratio to the tenth, and how many
manifests of other checkpoints a save read. A plain JSON file of the same state, without a flush, stands beside it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ckptkit import CheckpointStore

MARKS = (10, 100, 1000, 2000, 5000)
AROUND = 10  # saves on either side of a mark


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=MARKS[-1])
    parser.add_argument("--no-cache", action="store_true", help="without the ledger of what was verified")
    asked = parser.parse_args()
    opened: list[str] = []
    sys.addaudithook(lambda name, args: opened.append(str(args[0])) if name == "open" else None)
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        store = CheckpointStore(Path(folder) / "store", cache=not asked.no_cache)
        save = _counting(lambda step: store.save("run", step, {"rng": generator}), opened)
        spent = [save(step) for step in range(1, asked.most + AROUND + 1)]
        plain = _counting(lambda step: _plain(Path(folder) / f"{step}.json", generator), opened)
        beside = [plain(step)[0] for step in range(1, 41)]
    print(f"{'saves before':>12}  {'CPU ms':>7}  {'quartiles':>15}  {'ratio':>5}  {'manifests read':>14}")
    tenth = 0.0
    for mark in (mark for mark in MARKS if mark <= asked.most):
        near = spent[max(0, mark - AROUND) : mark + AROUND]
        low, middle, high = statistics.quantiles([cpu for cpu, _ in near], n=4)
        tenth = tenth or middle
        reads = statistics.median(read for _, read in near)
        print(f"{mark:>12}  {middle:7.2f}  {low:6.2f} to {high:5.2f}  {middle / tenth:5.2f}  {reads:14.0f}")
    print(f"{'plain json':>12}  {statistics.median(beside):7.2f}")


def _counting(act: Callable[[int], object], opened: list[str]) -> Callable[[int], tuple[float, int]]:
    def timed(step: int) -> tuple[float, int]:
        opened.clear()
        began = time.process_time()
        act(step)
        spent = (time.process_time() - began) * 1000
        others = (p for p in opened if p.endswith("manifest.json") and "staging" not in p and f"{step:08d}" not in p)
        return spent, sum(1 for _ in others)

    return timed


def _plain(path: Path, generator: np.random.Generator) -> None:
    path.write_text(json.dumps(generator.bit_generator.state))


if __name__ == "__main__":
    main()
