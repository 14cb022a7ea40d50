"""Program: a training that is killed while it saves for the second time: killed_in_save.py CASE DIR.

The kernel kills it, in the middle of the write that makes a file too long (``RLIMIT_FSIZE``), whoever writes: Python,
torch in C++, safetensors in Rust.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kept_by_trainers


def kill_beyond(size: int) -> None:
    """From now on, die in the write that would make a file longer than that."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hugging_face(root: Path, at: str) -> None:
    from transformers import TrainerCallback, TrainerState

    write = TrainerState.save_to_json
    first = root / "checkpoint-4"

    class Limit(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if state.global_step == 7 and at != "state":
                model, optimizer = (os.path.getsize(first / name) for name in ("model.safetensors", "optimizer.pt"))
                kill_beyond(model // 2 if at == "model" else (model + optimizer) // 2)

    def late(self: Any, path: str) -> None:
        if first.exists() and first.name not in path and at == "state":
            kill_beyond(200)
        write(self, path)

    TrainerState.save_to_json = late
    kept_by_trainers.train(kept_by_trainers.classifier(), root, [Limit()])


def lightning(root: Path, at: str) -> None:
    import shutil

    import lightning as L
    from lightning.pytorch.callbacks import Callback, ModelCheckpoint
    from lightning.pytorch.demos.boring_classes import BoringModel

    move = shutil.move

    def copied(source: str, target: str) -> Any:  # as where the folder is on another file system
        kill_beyond(2_000)
        return shutil.copyfile(source, target)

    class Limit(Callback):  # type: ignore[misc]
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 1 and at == "write":
                kill_beyond(2_000)
            elif trainer.current_epoch == 1:
                shutil.move = copied

    trainer = L.Trainer(
        max_epochs=2, limit_train_batches=2, limit_val_batches=0, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=root,
        callbacks=[Limit(), ModelCheckpoint(dirpath=root, save_top_k=-1)],
    )  # fmt: skip
    trainer.fit(BoringModel())
    shutil.move = move


def sb3(root: Path, at: str) -> None:
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback

    class Limit(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 7:
                zip_, buffer = (os.path.getsize(root / f"rl_model_{name}4_steps.{kind}") for name, kind in NAMES)
                kill_beyond(zip_ // 2 if at == "zip" else buffer // 2)
                if at == "between":
                    self.model.save_replay_buffer = lambda path: os.kill(os.getpid(), signal.SIGKILL)
            return True

    keep = CheckpointCallback(4, str(root), save_replay_buffer=True)
    size = 16 if at == "zip" else 4_000  # the buffer is longer than the zip, or shorter
    agent = SAC("MlpPolicy", gymnasium.make("Pendulum-v1"), buffer_size=size, policy_kwargs={"net_arch": [4]}, seed=1)
    agent.learn(8, callback=[Limit(), keep])


NAMES = (("", "zip"), ("replay_buffer_", "pkl"))


def accelerate(root: Path, at: str) -> None:
    import torch
    from accelerate import Accelerator

    one = Accelerator(cpu=True)
    net = torch.nn.Linear(64, 64)
    net, optimizer = one.prepare(net, torch.optim.AdamW(net.parameters()))
    for step in (4, 8):
        one.backward(net(torch.ones(2, 64)).sum())
        optimizer.step()
        if step == 8:
            first = {name: os.path.getsize(root / "step_4" / name) for name in ("model.safetensors", "optimizer.bin")}
            kill_beyond(first["model.safetensors"] + 1_000 if at == "optimizer" else 5_000)
        one.save_state(str(root / f"step_{step}"))


def dcp(root: Path, at: str) -> None:
    import torch
    import torch.distributed.checkpoint as dcp

    for step in (4, 8):
        if step == 8:
            kill_beyond(200)
        dcp.save({"w": torch.ones(2_000)}, checkpoint_id=root / f"step-{step}", no_dist=True)


def tensorflow(root: Path, at: str) -> None:
    import tensorflow as tf

    manager = tf.train.CheckpointManager(tf.train.Checkpoint(w=tf.Variable(tf.ones(2_000))), str(root), max_to_keep=3)
    manager.save()
    kill_beyond(2_000)
    manager.save()


def keras(root: Path, at: str) -> None:
    import keras

    model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(64)])
    suffix = "keras" if at == "zip" else "weights.h5"
    for epoch in (1, 2):
        if epoch == 2:
            kill_beyond(8_000)
        path = root / f"m{epoch:02d}.{suffix}"
        model.save(path) if at == "zip" else model.save_weights(path)


def orbax(root: Path, at: str) -> None:
    import numpy as np
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(root) as manager:
        for step in (4, 8):
            if step == 8:
                kill_beyond(2_000)
            manager.save(step, args=ocp.args.StandardSave({"w": np.random.default_rng(0).random(4_000)}))
            manager.wait_until_finished()


CASES: dict[str, Callable[[Path, str], None]] = {
    one.__name__: one for one in (hugging_face, lightning, sb3, accelerate, dcp, tensorflow, keras, orbax)
}


def main() -> None:
    """Run one: ``sb3:zip``."""
    name, _, at = sys.argv[1].partition(":")
    CASES[name](Path(sys.argv[2]), at)
    sys.exit("was not killed")


if __name__ == "__main__":
    main()
