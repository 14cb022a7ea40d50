"""A small training that proves itself: NumPy and torch, honest or with one of the faults that looking cannot find.

``python proving_run.py STORE MODE [--resume REF]``; it saves every 5 of 12 steps and is observed for 4.
"""

import argparse
import itertools
import sys
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
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = CheckpointStore(args.store)
    trainer = Trainer(args.mode)
    start = 0
    if args.resume:
        start = store.restore(args.resume, into=trainer.items()).step
        if args.mode == "order":
            torch.rand(1)  # something is built after the generators were put back
    command = [sys.executable, __file__, "{store}", args.mode, "--resume", "{run}@{step}"]
    observer = store.observe("toy", steps=4)
    for step in range(start + 1, 13):
        trainer.step()
        observer.note(step, trainer.items)
        if step % 5 == 0:
            store.save("toy", step, trainer.items(), resume=command)


if __name__ == "__main__":
    main()
