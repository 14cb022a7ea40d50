"""What a save of a large model with its optimizer costs, beside the ways that write the same state without a store.

``python -m benchmarks.save_large [--megabytes 1024] [--rounds 5] [--folder DIR] [--json FILE]`` saves the same state by
each way in turns, in one process, and prints a Markdown table of CPU seconds (of these the user's: the rest is the
kernel's copy into the page cache), wall seconds and peak memory beside the state (MiB): median, minimum and maximum.
*ratio* is the median over the rounds of the CPU seconds, divided by those of ``torch.save`` in the same round: other
users of the machine slow both.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from ckptkit_safetensors import Policy

from ckptkit import CheckpointStore

YARDSTICK = "torch.save, fsync, rename"
_SIDE = 2048  # rows and columns of each weight


def trained(megabytes: int) -> Policy:
    """Return a model and its AdamW after one step, of about that many MiB in all."""
    layers = max(1, megabytes * (1 << 20) // (3 * 4 * _SIDE * _SIDE))
    model = torch.nn.Sequential(*(torch.nn.Linear(_SIDE, _SIDE, bias=False) for _ in range(layers)))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return Policy(model=model, optimizer=optimizer)


def by_torch(policy: Policy, folder: Path) -> None:
    """Write one file by ``torch.save``, flushed and renamed."""
    state = {"model": policy.model.state_dict(), "optimizer": policy.optimizer.state_dict()}
    torch.save(state, folder / "state.new")
    _flush(folder / "state.new")
    (folder / "state.new").rename(folder / "state.pt")
    _flush(folder)


def by_safetensors(policy: Policy, folder: Path) -> None:
    """Write all tensors by ``safetensors.torch.save_file``, flushed."""
    state = policy.optimizer.state_dict()["state"]
    moments = {f"{i}.{name}": value for i, part in state.items() for name, value in part.items()}
    safetensors.torch.save_file({**policy.model.state_dict(), **moments}, folder / "state.safetensors")
    _flush(folder / "state.safetensors")


def by_dcp(policy: Policy, folder: Path) -> None:
    """Write all of it by ``torch.distributed.checkpoint``, in one process."""
    from torch.distributed import checkpoint

    state = {"model": policy.model.state_dict(), "optimizer": policy.optimizer.state_dict()}
    checkpoint.save(state, checkpoint_id=folder / "dcp", no_dist=True)
    for path in (folder / "dcp").iterdir():
        _flush(path)


def by_orbax(policy: Policy, folder: Path) -> None:
    """Write all of it by Orbax, which compresses."""
    import orbax.checkpoint

    state = policy.optimizer.state_dict()["state"]
    moments = {f"{i}.{name}": value.numpy() for i, part in state.items() for name, value in part.items()}
    weights = {name: value.numpy() for name, value in policy.model.state_dict().items()}
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save((folder / "orbax").absolute(), {**weights, **moments})
        checkpointer.wait_until_finished()


def by_cp(source: Path, folder: Path) -> None:
    """Copy a file with all of the state by ``cp``, flushed."""
    subprocess.run(["cp", source, folder / "copy.pt"], check=True)
    _flush(folder / "copy.pt")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


COLUMNS = ("cpu_s", "user_s", "wall_s", "peak_mib")


def cost(way: Callable[[Path], object], within: Path) -> tuple[float, float, float, float]:
    """Return what a save took, as ``COLUMNS`` says; memory is the peak beside what was held before."""
    folder = Path(tempfile.mkdtemp(dir=within))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that of from now on
    held, before, began = _memory("VmRSS"), os.times(), time.perf_counter()
    way(folder)
    wall, after, peak = time.perf_counter() - began, os.times(), _memory("VmHWM")
    shutil.rmtree(folder)
    user, system, user_of_children, system_of_children = (b - a for a, b in zip(before[:4], after[:4], strict=True))
    users = user + user_of_children
    return users + system + system_of_children, users, wall, peak - held


def _memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def ways_of(policy: Policy, source: Path) -> dict[str, Callable[[Path], object]]:
    """Return what is compared, by name."""

    def by_store(folder: Path, *, probe: bool = True) -> None:
        CheckpointStore(folder / "store").save("run", 1, {"policy": policy}, probe=probe)

    return {
        YARDSTICK: lambda folder: by_torch(policy, folder),
        "ckptkit": by_store,
        "ckptkit, no probe": lambda folder: by_store(folder, probe=False),
        "safetensors, fsync": lambda folder: by_safetensors(policy, folder),
        "cp, fsync": lambda folder: by_cp(source, folder),
        "torch dcp, fsync": lambda folder: by_dcp(policy, folder),
        **({"orbax": lambda folder: by_orbax(policy, folder)} if find_spec("orbax") else {}),
    }


def measured(policy: Policy, within: Path, rounds: int) -> dict[str, list[tuple[float, ...]]]:
    """Return the costs of each way, one for each round; a first round is not counted."""
    by_torch(policy, within)
    ways = ways_of(policy, within / "state.pt")
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        names = list(ways)
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:  # nobody always comes first
            taken = cost(ways[name], within)
            if number:
                found[name].append(taken)
    return found


def summary(found: dict[str, list[tuple[float, ...]]]) -> dict[str, dict[str, Any]]:
    """Return median, minimum and maximum of each measure of each way, and its ratio of CPU seconds."""
    yardstick = [row[0] for row in found[YARDSTICK]]
    said: dict[str, dict[str, Any]] = {}
    for name, rows in found.items():
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
        said[name] = {key: [statistics.median(c), min(c), max(c)] for key, c in columns.items()}
        said[name]["ratio"] = statistics.median(row[0] / own for row, own in zip(rows, yardstick, strict=True))
    return said


def main() -> None:
    """Measure, print a table, and write JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the file system to measure")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        said = summary(measured(trained(asked.megabytes), Path(folder), asked.rounds))
    print("| way | CPU s | of these user | wall s | peak MiB | ratio |\n|---|---|---|---|---|---|")
    for name, row in said.items():
        columns = [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in (row[column] for column in COLUMNS[:3])]
        print(f"| {name} | {' | '.join(columns)} | {row['peak_mib'][0]:.0f} | {row['ratio']:.2f} |")
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"megabytes": asked.megabytes, "rounds": asked.rounds, "ways": said}, indent=2)
        )


if __name__ == "__main__":
    main()
