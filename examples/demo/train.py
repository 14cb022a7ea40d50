"""Train a policy on recorded episodes and a PPO agent beside it; saved, killed and resumed as one checkpoint."""

import argparse
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot while it is imported
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import gymnasium
import numpy as np
import torch
from ckptkit_numpy import GlobalRng
from ckptkit_safetensors import Policy
from ckptkit_tfdata import PersistentIterator
from episodes import ENVIRONMENT, pipeline, record
from stable_baselines3 import PPO
from torch import nn

from ckptkit import CheckpointStore, CkptkitError

AGENT_EVERY = 20  # steps between two rollouts of the agent


class Training:
    """All the state there is, and one step of it."""

    def __init__(self, data: list[Path], steps: int) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        self.policy = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 2))
        self.optimizer = torch.optim.AdamW(self.policy.parameters(), lr=3e-3)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=3e-3, total_steps=steps)
        self.batches = PersistentIterator(pipeline(data), record_files=data)
        self.augmentation = np.random.default_rng(1)
        self.agent = PPO("MlpPolicy", gymnasium.make(ENVIRONMENT), n_steps=64, batch_size=32, n_epochs=2, seed=2)
        self.order = hashlib.sha256()  # of the batches of this process, for the demo's comparison only

    def items(self) -> dict[str, Any]:
        """Return what one checkpoint holds."""
        processors: dict[str, Any] = {"preprocessor": {"noise": 0.01}, "postprocessor": {"actions": ["left", "right"]}}
        return {
            "policy": Policy(self.policy, self.optimizer, self.schedule, **processors),
            "data": self.batches,
            "rng": GlobalRng(augmentation=self.augmentation),
            "agent": self.agent,
        }

    def step(self, number: int) -> float:
        """Do one step of behaviour cloning, and now and then a rollout of the agent; returns the loss."""
        batch = next(self.batches)
        observation = batch["observation"].numpy()
        noisy = observation + self.augmentation.normal(0, 0.01, observation.shape).astype(np.float32)
        loss = nn.functional.cross_entropy(
            self.policy(torch.from_numpy(noisy)), torch.from_numpy(batch["action"].numpy())
        )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        if number % AGENT_EVERY == 0:
            self.agent.learn(64, reset_num_timesteps=False)
        return loss.item()

    def digest(self) -> str:
        """Return a digest of everything: weights, optimizer, agent, and the data that would come next."""
        hasher = hashlib.sha256()
        for name, tensor in [*self.policy.state_dict().items(), *self.agent.policy.state_dict().items()]:
            hasher.update(name.encode() + tensor.detach().numpy().tobytes())
        for optimizer in (self.optimizer, self.agent.policy.optimizer):
            for state in optimizer.state.values():
                for value in state.values():
                    hasher.update(torch.as_tensor(value).detach().numpy().tobytes())
        for _ in range(20):
            batch = next(self.batches)
            hasher.update(batch["observation"].numpy().tobytes() + batch["action"].numpy().tobytes())
        hasher.update(self.augmentation.bytes(32) + torch.rand(8).numpy().tobytes() + self.agent._last_obs.tobytes())
        hasher.update(str((self.batches.batches_seen, self.agent.num_timesteps)).encode())
        return hasher.hexdigest()


def train(args: argparse.Namespace) -> None:
    """Train from the start, or from a checkpoint."""
    torch.set_num_threads(1)  # the same order of additions everywhere
    beside = Path() if "://" in args.store else Path(args.store).parent
    data = (args.data or beside / "episodes").resolve()
    store = CheckpointStore(args.store)
    if not args.resume:
        prepare(store, args, None)  # before any work
    files = sorted(data.glob("*.tfrecord")) or record(data)
    training = Training(files, args.steps)
    command = [sys.executable, __file__, "--store", "{store}", "--run", "{run}", "--resume", "{run}@{step}"]
    command += ["--data", str(data), "--steps", str(args.steps), "--save-every", str(args.save_every)]
    start = 0
    if args.resume:
        restored = store.restore(args.resume, into=training.items())
        start = restored.step
        for line in (*restored.followed, f"resumed {restored.run} at step {start}"):
            print(line, flush=True)
        for warning in restored.warnings:
            print(f"note: {warning}")
        prepare(store, args, f"{restored.run}@{start}")
    # What this run does after each save is noted; a rehearsal, and what a resumed run does, is held against it.
    observer = store.observe(args.run, steps=4, note_after="every")
    for number in range(start + 1, args.steps + 1):
        loss = training.step(number)
        if proof := observer.note(number, training.items()):
            print(
                f"step {number:4d}  the last {observer.steps} steps: {proof.verdict} {proof.reason or ''}", flush=True
            )
        if number % args.save_every == 0:
            saved = store.save(args.run, number, training.items(), metrics={"loss": loss}, resume=command)
            print(f"step {number:4d}  loss {loss:.4f}  saved {saved.at.name} ({saved.manifest.grade})", flush=True)
    print(f"digest {training.digest()}")


def prepare(store: CheckpointStore, args: argparse.Namespace, origin: str | None) -> None:
    """Find out before the first step what would else come out at a save, and tell what was moved away for it."""
    for moved in store.prepare(args.run, after=origin, replace_newer=args.replace_newer):
        print(f"moved to the trash: {moved.ref}", flush=True)


def main() -> int:
    """Parse the command line and train; an error is told in a line, with what to do about it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, help="where checkpoints go: a folder, or a URL as s3://BUCKET/PREFIX")
    parser.add_argument(
        "--data", type=Path, help="folder of the recorded episodes; left out: beside the store, or here"
    )
    parser.add_argument("--run", required=True, help="name of this run")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--save-every", type=int, default=40)
    parser.add_argument("--resume", metavar="REF", help="RUN or RUN@STEP to go on from")
    parser.add_argument(
        "--replace-newer", action="store_true", help="move checkpoints beyond where training goes on from to the trash"
    )
    try:
        train(parser.parse_args())
    except CkptkitError as error:
        print(f"error: {error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
