"""What a save of an SB3 agent with a large replay buffer costs, beside SB3's own ``save`` and ``save_replay_buffer``.

``python -m benchmarks.save_replay [--rows 1000000] [--rounds 10] [--json FILE]`` saves one SAC with a full buffer (40
bytes a row) by SB3 and by a store in turns, in one process, and prints a Markdown table of CPU milliseconds: median,
least and most. *ratio* is the median over the rounds. The first round, which tests the environment, is not counted.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch

from ckptkit import CheckpointStore


def with_replay(rows: int) -> Any:
    """Return an agent whose buffer of so many rows is full."""
    model = sb3.SAC("MlpPolicy", "Pendulum-v1", buffer_size=rows, learning_starts=10**9, device="cpu")
    model.learn(100)
    generator = np.random.default_rng(0)
    buffer: Any = model.replay_buffer
    for array in (buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards):
        array[...] = generator.random(array.shape, dtype=np.float32)
    buffer.full = True
    return model


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = with_replay(asked.rows)
    spent: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def own() -> None:
            model.save(folder / "own.zip")
            model.save_replay_buffer(folder / "own.pkl")

        def by_store(probe: bool) -> Callable[[], object]:
            return lambda: CheckpointStore(folder / "store").save("run", 1, {"agent": model}, probe=probe)

        for _ in range(asked.rounds + 1):
            spent.append((_cpu(own), _cpu(by_store(True), folder), _cpu(by_store(False), folder)))
    said: dict[str, dict[str, Any]] = {}
    print("| way | CPU ms | ratio |\n|---|---|---|")
    for name, column in zip(("SB3's own", "ckptkit", "ckptkit, no probe"), zip(*spent[1:], strict=True), strict=True):
        ratio = statistics.median(cpu / row[0] for cpu, row in zip(column, spent[1:], strict=True))
        said[name] = {"cpu_ms": [statistics.median(column), min(column), max(column)], "ratio": ratio}
        print(f"| {name} | {statistics.median(column):.0f} ({min(column):.0f} to {max(column):.0f}) | {ratio:.2f} |")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"rows": asked.rows, "rounds": asked.rounds, "ways": said}, indent=2))


def _cpu(act: Callable[[], object], folder: Path | None = None) -> float:
    """Return the CPU milliseconds of an act; the store that it made in the folder goes."""
    began = time.process_time()
    act()
    taken = (time.process_time() - began) * 1000
    if folder is not None:
        shutil.rmtree(folder / "store")
    return taken


if __name__ == "__main__":
    main()
