"""What a save stores and costs with `dedup`, beside a plain save of the same: `python -m benchmarks.save_dedup`."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.in_turns import options

_SAVES = 3


def frozen(megabytes: int, share: float) -> Callable[[int], dict[str, Any]]:
    """Return the weights at a step, of which a share never changes."""
    import numpy as np

    count, size = 50, megabytes * (1 << 20) // 200  # tensors, and numbers of each
    fixed = round(count * share)
    same = {f"layer{i}": np.random.default_rng(i).random(size, dtype=np.float32) for i in range(fixed)}

    def at(step: int) -> dict[str, Any]:
        trained = {
            f"layer{i}": np.random.default_rng((i, step)).random(size, dtype=np.float32) for i in range(fixed, count)
        }
        return {"weights": {**same, **trained}}

    return at


def replay(megabytes: int, new: float, place: Path) -> Callable[[int], dict[str, Any]]:
    """Return a ring of rows as a file at a step, of which a share is new."""
    import numpy as np

    from ckptkit import Files

    rows = megabytes * 1024
    filled = np.random.default_rng(0).integers(0, 255, (rows, 1024), dtype=np.uint8)
    ring = filled.copy()

    def at(step: int) -> dict[str, Any]:
        if step == 0:
            ring[:] = filled
        count = round(rows * new)
        begin = (step * count) % rows
        fresh = np.random.default_rng(step + 1).integers(0, 255, (min(count, rows - begin), 1024), dtype=np.uint8)
        ring[begin : begin + len(fresh)] = fresh
        np.savez(place / "rows.npz", observations=ring)
        return {"rows": Files(place / "rows.npz", backend="files")}

    return at


def stored(folder: Path) -> int:
    found = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({status.st_ino: status.st_size for status in found}.values())


def measured(at: Callable[[int], dict[str, Any]], rounds: int) -> dict[str, dict[str, Any]]:
    """Save the same states in turns into a plain store and into one that shares."""
    from ckptkit import CheckpointStore

    taken: dict[str, list[float]] = {"off": [], "tensor": []}
    grew: dict[str, list[int]] = {"off": [], "tensor": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
            stores = {how: CheckpointStore(Path(place, how), dedup=how) for how in taken}
            for step in range(_SAVES):
                items = at(step)
                for how, store in stores.items():
                    before, began = stored(Path(place, how)) if step else 0, time.process_time()
                    store.save("run", step, items, probe=False)
                    if step:
                        taken[how].append(time.process_time() - began)
                        grew[how].append(stored(Path(place, how)) - before)
                os.sync()
    return {
        how: {
            "cpu_seconds": {name: round(f(taken[how]), 3) for name, f in _OF.items()},
            "bytes": round(statistics.median(grew[how])),
        }
        for how in taken
    }


_OF: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "min": min, "max": max}


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--megabytes", type=int, default=512)
    args = parser.parse_args()
    size = args.megabytes
    print("| work | dedup | CPU s | (from - to) | MB stored by each save |\n|---|---|---|---|---|")
    written = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
        cases = {
            f"{size} MiB of weights, nine tenths frozen": frozen(size, 0.9),
            f"{size} MiB of weights, all trained": frozen(size, 0.0),
            f"a replay buffer of {size // 4} MiB, one in fifty rows new": replay(size // 4, 0.02, Path(place)),
        }
        for name, at in cases.items():
            found = written[name] = measured(at, args.rounds)
            for how, one in found.items():
                cpu = one["cpu_seconds"]
                spread = f"{cpu['min']:.2f} - {cpu['max']:.2f}"
                print(f"| {name} | {how} | {cpu['median']:.2f} | {spread} | {one['bytes'] / 1e6:.1f} |", flush=True)
    text = json.dumps(written, indent=1)
    if args.json is None:
        print(f"\n{text}")
    else:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
