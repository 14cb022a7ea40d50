"""What proving costs a live run: a small torch loop alone, observed, and with a rehearsal beside it.

    python benchmarks/proving.py [--seconds S]

One thread each. *Observed* is the time of a step that is noted beside one that is not. The last row trains while the
rehearsal runs at low priority, and says how much processor time that took.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from torch import nn

from ckptkit import CheckpointStore

NOTED = 8


class Loop:
    """A multilayer perceptron on random data."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 8))
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def items(self) -> dict[str, Any]:
        """Return what is saved."""
        return {"policy": Policy(self.model, self.optimizer), "rng": GlobalRng()}

    def step(self) -> None:
        """Do one update."""
        self.optimizer.zero_grad()
        self.model(torch.randn(64, 64)).square().mean().backward()
        self.optimizer.step()


def rate(loop: Loop, seconds: float, observer: Any = None, first: int = 1) -> float:
    """Return steps per second."""
    began, step = time.perf_counter(), first
    while time.perf_counter() - began < seconds:
        loop.step()
        if observer is not None:
            observer.note(step, loop.items)
        step += 1
    return (step - first) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--store")
    parser.add_argument("--resume")
    args = parser.parse_args()
    torch.set_num_threads(1)
    loop = Loop()
    if args.resume:  # as the rehearsal calls it
        store = CheckpointStore(args.store)
        first = store.restore(args.resume, into=loop.items()).step + 1
        rate(loop, 600, store.observe("run", steps=NOTED), first)
    with tempfile.TemporaryDirectory() as folder:
        _measure(loop, CheckpointStore(Path(folder, "store")), args.seconds)


def _measure(loop: Loop, store: CheckpointStore, seconds: float) -> None:
    os.environ["CKPTKIT_BACKGROUND"] = "never"
    rate(loop, 1)
    plain = rate(loop, seconds)
    observer = store.observe("run", steps=NOTED)
    idle = rate(loop, seconds, observer)
    command = [sys.executable, __file__, "--store", "{store}", "--resume", "{run}@{step}"]
    store.save("run", 1000, loop.items(), resume=command)
    noted = []
    os.environ["CKPTKIT_BACKGROUND"] = "low"
    for step in range(1001, 1001 + NOTED):
        loop.step()
        began = time.perf_counter()
        observer.note(step, loop.items)
        noted.append(time.perf_counter() - began)
    began, steps = time.perf_counter(), 0
    while observer.proving and time.perf_counter() - began < 600:
        loop.step()
        observer.note(2000 + steps, loop.items)
        steps += 1
    beside = steps / (time.perf_counter() - began)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = next(iter(store.list("run"))).shown
    print(f"without an observer    {plain:8.0f} steps/s")
    print(f"observed, not noting   {idle:8.0f} steps/s")
    print(f"a noted step           {1000 * sorted(noted[:-1])[len(noted) // 2]:8.1f} ms more, {NOTED} times a process")
    print(f"starting the rehearsal {1000 * noted[-1]:8.1f} ms, once")
    print(f"beside the rehearsal   {beside:8.0f} steps/s for {time.perf_counter() - began:.0f} s")
    print(f"the rehearsal          {used.ru_utime + used.ru_stime:8.1f} s of processor time: {shown and shown.words}")


if __name__ == "__main__":
    main()
