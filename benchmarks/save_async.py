"""How long a training waits for a save that goes on behind, beside one copy of the state in memory and torch's own.

``python -m benchmarks.save_async [--megabytes 1024] [--rounds 3] [--folder DIR] [--json FILE]`` runs each way in a
process of its own, in turns: one save, and then more, each after the one before is durable. *first* and *later* are
what a call takes until it returns, in seconds on the clock; *copies* is the same in copies of the same tensors, each in
memory that was written to before, by one thread in the same process; *CPU copies* compares processor time, of all
threads, which says more where others use the machine. *extra* is the peak of memory beside the state, in shares of its
size; *slowed* how much longer a small step of training takes while a save goes on behind. All are medians with the
least and the most.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from benchmarks.save_large import _memory, trained
from ckptkit import CheckpointStore

LATER = 2  # saves after the first
Save = Callable[[int], Callable[[], object]]
"""Begins a save, and returns what waits for it."""


@contextmanager
def ours(policy: Any, folder: Path, *, reserved: bool) -> Iterator[Save]:
    """Save by a store."""
    with CheckpointStore(folder) as store:
        if reserved:
            store.reserve({"policy": policy})
        yield lambda step: store.save("run", step, {"policy": policy}, wait=False).result


@contextmanager
def torchs(policy: Any, folder: Path, *, kept: bool) -> Iterator[Save]:
    """Save by ``torch.distributed.checkpoint.async_save``, by its own means or with a stager that keeps its memory."""
    stager = DefaultStager(StagingOptions(False, False, False, False)) if kept else None

    def save(step: int) -> Callable[[], object]:
        state = {"model": policy.model.state_dict(), "optimizer": policy.optimizer.state_dict()}
        future: Any = dcp.async_save(state, checkpoint_id=folder / str(step), async_stager=stager, no_dist=True)
        done: Callable[[], object] = getattr(future, "upload_completion", future).result
        return done

    yield save


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "ckptkit": lambda policy, folder: ours(policy, folder, reserved=True),
    "ckptkit, nothing reserved": lambda policy, folder: ours(policy, folder, reserved=False),
    "dcp.async_save": lambda policy, folder: torchs(policy, folder, kept=False),
    "dcp.async_save, a stager kept": lambda policy, folder: torchs(policy, folder, kept=True),
}


def tensors_of(policy: Any) -> list[torch.Tensor]:
    """Return all that is saved."""
    held = [value for state in policy.optimizer.state.values() for value in state.values()]
    return [value.detach() for value in [*policy.model.parameters(), *held]]


Taken = tuple[float, float]
"""Seconds on the clock, and of processor time."""


def timed(work: Callable[[], Any]) -> tuple[Taken, Any]:
    """Return what some work took, and what it returned."""
    began, spent = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - began, time.process_time() - spent), result


def middle(taken: list[Taken]) -> Taken:
    """Return the medians."""
    return statistics.median(wall for wall, _ in taken), statistics.median(cpu for _, cpu in taken)


def a_copy(tensors: list[torch.Tensor]) -> Taken:
    """Return what a copy of all tensors takes in memory that is there: the median of five."""
    copies = [value.clone() for value in tensors]

    def copy() -> None:
        for one, tensor in zip(copies, tensors, strict=True):
            one.copy_(tensor)

    return middle([timed(copy)[0] for _ in range(5)])


class Training:
    """A small model that is trained beside, in steps of about a millisecond."""

    def __init__(self) -> None:
        self.model = torch.nn.Sequential(torch.nn.Linear(128, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.x = torch.randn(64, 128)

    def step(self) -> float:
        """Return how many seconds a step took."""
        began = time.perf_counter()
        self.optimizer.zero_grad()
        self.model(self.x).square().mean().backward()  # type: ignore[no-untyped-call]  # torch's is
        self.optimizer.step()
        return time.perf_counter() - began

    def until(self, done: Callable[[], bool]) -> float:
        """Return how long a step took on average until something was done."""
        taken = [self.step()]
        while not done():
            taken.append(self.step())
        return statistics.fmean(taken)


def measured(name: str, megabytes: int, folder: Path) -> dict[str, float]:
    """Return the figures of one way, in this process."""
    policy, training, calls = trained(megabytes), Training(), []
    copy, alone = a_copy(tensors_of(policy)), training.until(_after(1.0))
    Path("/proc/self/clear_refs").write_text("5")
    held = _memory("VmRSS")
    with WAYS[name](policy, folder) as save:
        for step in range(1 + LATER):
            whole, taken = timed(lambda step=step: _whole(save, step))  # type: ignore[misc]  # bound at once
            calls.append(taken)
        extra = (_memory("VmHWM") - held) / (sum(tensor.nbytes for tensor in tensors_of(policy)) / (1 << 20))
        slowed = training.until(_ended(save(LATER + 1))) / alone
    first, later = calls[0], middle(calls[1:])
    return {
        "first_s": first[0],
        "first_copies": first[0] / copy[0],
        "first_cpu_copies": first[1] / copy[1],
        "later_s": later[0],
        "copies": later[0] / copy[0],
        "cpu_copies": later[1] / copy[1],
        "total_s": whole[0],
        "cpu_s": whole[1],
        "extra": extra,
        "slowed": slowed,
        "copy_s": copy[0],
    }


def _whole(save: Save, step: int) -> Taken:
    """Save, wait until it is durable, and return what the call took."""
    taken, wait = timed(lambda: save(step))
    wait()
    return taken


def _after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() > end


def _ended(wait: Callable[..., object]) -> Callable[[], bool]:
    def ended() -> bool:
        try:
            wait(timeout=0)
        except TimeoutError:
            return False
        return True

    return ended


def in_turns(megabytes: int, rounds: int, within: Path) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each way, one for each round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, rows in found.items():
            with tempfile.TemporaryDirectory(dir=within) as folder:
                command = [sys.executable, "-m", "benchmarks.save_async", "--way", name]
                command += ["--megabytes", str(megabytes), "--folder", folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def main() -> None:
    """Measure, print a table, and write JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the file system to measure", default=Path.cwd())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.way is not None:
        print(json.dumps(measured(asked.way, asked.megabytes, asked.folder)))
        return
    found = in_turns(asked.megabytes, asked.rounds, asked.folder)
    said = {
        name: {key: [statistics.median(c), min(c), max(c)] for key in rows[0] if (c := [row[key] for row in rows])}
        for name, rows in found.items()
    }
    columns = [column for column in said["ckptkit"] if column != "copy_s"]
    print(f"| way | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, row in said.items():
        cells = [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in (row[column] for column in columns)]
        print(f"| {name} | {' | '.join(cells)} |")
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"megabytes": asked.megabytes, "rounds": asked.rounds, "ways": said}, indent=2)
        )


if __name__ == "__main__":
    main()
