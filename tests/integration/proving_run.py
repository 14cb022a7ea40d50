"""A small training that proves itself: NumPy and torch, honest or with one of the faults that looking cannot find.

``python proving_run.py STORE MODE [--resume REF] [--steps N] [--hold SECONDS]``; it waits after the last step until
the rehearsal is done, as a longer training would.
"""

import argparse
import itertools
import logging
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from torch import nn

from ckptkit import CheckpointStore

COUNTER = itertools.count()  # of the module: "counter" anneals the noise by it


def closure() -> Any:
    generator = np.random.default_rng(7)
    return lambda: float(generator.random())


class Trainer:
    def __init__(self, mode: str) -> None:
        torch.manual_seed(0)
        self.mode = mode
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.rng = np.random.default_rng(1)
        self.data = np.random.default_rng(2).normal(size=(64, 4)).astype(np.float32)
        self.noise = closure()
        self.scale = 1.0

    def items(self) -> dict[str, Any]:
        return {"policy": Policy(self.model, self.optimizer), "rng": GlobalRng(own=self.rng)}

    def step(self) -> None:
        rows = self.rng.permutation(64)[:8]
        if self.mode == "shuffle":
            rows = np.random.default_rng().permutation(64)[:8]
        batch = torch.from_numpy(self.data[rows])
        if self.mode == "counter":
            batch = batch + 0.01 * next(COUNTER)
        elif self.mode == "closure":
            batch = batch * (1 + self.noise())
        elif self.mode == "attribute":
            self.scale *= 0.9
            batch = batch * self.scale
        loss = self.model(batch).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("mode")
    parser.add_argument("--resume")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--hold", type=float, default=120)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    torch.set_num_threads(1)
    if args.mode == "fails" and args.resume:
        sys.exit("no such dataset")
    store = CheckpointStore(args.store)
    trainer = Trainer(args.mode)
    start = 0
    if args.resume:
        start = store.restore(args.resume, into=trainer.items()).step
        if args.mode == "order":
            torch.rand(1)  # something is built after the generators were put back
    where = "{store}" if args.mode != "fixed" else args.store
    command = [sys.executable, __file__, where, args.mode, "--resume", "{run}@{step}", "--steps", str(args.steps)]
    observer = store.observe("toy", steps=4)
    for step in range(start + 1, args.steps + 1):
        trainer.step()
        observer.note(step, trainer.items)
        if step % 5 == 0:
            store.save("toy", step, trainer.items(), resume=None if args.mode == "silent" else command)
    deadline = time.monotonic() + args.hold
    while observer.proving and time.monotonic() < deadline:
        time.sleep(0.2)
        observer.look()
    print("pid", os.getpid())


if __name__ == "__main__":
    main()
