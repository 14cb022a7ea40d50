"""Write a small store with checkpoints of all four kinds of state, by the real libraries: `python four_kinds.py STORE`.

Run as a process of its own, so that the tests that use the store need none of the frameworks themselves.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RUN = "ppo/run1"
ITEMS = {"policy": "safetensors", "data": "tf-data", "rng": "numpy-rng", "agent": "sb3"}
RESUME = ["python", "train.py", "--resume", "{path}", "--agent={items.agent}", "--step", "{step}"]


def dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.range(40).shuffle(8, seed=3).repeat().batch(4)


class Training:
    """One of each, trained a little."""

    def __init__(self) -> None:
        import gymnasium
        import numpy as np
        import torch
        from ckptkit_safetensors import Policy
        from ckptkit_tfdata import PersistentIterator
        from stable_baselines3 import PPO

        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        processors: dict[str, Any] = {"preprocessor": {"mean": [0.5]}, "postprocessor": {"actions": ["left", "right"]}}
        self.policy = Policy(model, optimizer, **processors)
        self.data = PersistentIterator(dataset)
        self.rng = np.random.default_rng(1)
        shape = {"net_arch": [8]}
        self.agent = PPO(
            "MlpPolicy",
            gymnasium.make("CartPole-v1"),
            n_steps=16,
            batch_size=8,
            n_epochs=1,
            seed=0,
            policy_kwargs=shape,
            device="cpu",
        )

    def advance(self) -> None:
        import torch

        batch = torch.as_tensor(next(self.data).numpy()).float()[:, None].expand(-1, 4)
        loss = self.policy.model(batch + float(self.rng.normal())).square().mean()
        self.policy.optimizer.zero_grad()
        loss.backward()
        self.policy.optimizer.step()
        self.agent.learn(16, reset_num_timesteps=False)

    def items(self) -> dict[str, Any]:
        return {"policy": self.policy, "data": self.data, "rng": self.rng, "agent": self.agent}


def write(root: Path, steps: Iterator[int] | tuple[int, ...] = (10, 20)) -> None:
    """Save a checkpoint of all four kinds at each of the steps."""
    from ckptkit import CheckpointStore

    store, training = CheckpointStore(root), Training()
    for number in steps:
        training.advance()
        store.save(RUN, number, training.items(), metrics={"reward": float(number)}, resume=RESUME, cwd="/")


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    warnings.simplefilter("ignore")
    write(Path(sys.argv[1]), tuple(int(step) for step in sys.argv[2:]) or (10, 20))
