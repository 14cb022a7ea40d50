"""Program: trainings that save every fourth step and go on from a path: TRAINER DIR STEPS [PATH [STEP]].

Each prints where it began and where it ended, with a digest of its weights.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

EVERY = 4
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}


def say(word: str, step: int, values: Any = ()) -> None:
    digest = hashlib.sha256(b"".join(bytes(memoryview(v).cast("B")) for v in values)).hexdigest()[:16]
    print(word, step, digest if values else "", flush=True)


def tensors(module: Any) -> list[Any]:
    return [value.detach().contiguous().numpy() for value in module.state_dict().values()]


def hf_trainer(out: Path, steps: int, path: str | None, step: int) -> None:
    import torch
    from kept_by_trainers import classifier
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

    class Tell(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            say("began", state.global_step)

    set_seed(0)
    rows = [{"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)} for index in range(16)]
    arguments = TrainingArguments(
        str(out), save_steps=EVERY, max_steps=steps, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        disable_tqdm=True, lr_scheduler_type="constant", logging_steps=2,
    )  # fmt: skip
    trainer = Trainer(classifier(), arguments, train_dataset=rows, callbacks=[Tell()])
    trainer.train(resume_from_checkpoint=path)
    say("ended", trainer.state.global_step, tensors(trainer.model))


def accelerate(out: Path, steps: int, path: str | None, step: int) -> None:
    import torch
    from accelerate import Accelerator

    one, torch_net = Accelerator(cpu=True), _net()
    net, optimizer = one.prepare(torch_net, torch.optim.AdamW(torch_net.parameters()))
    if path is not None:
        one.load_state(path)
    say("began", step)
    for now in range(step + 1, steps + 1):
        one.backward(net(torch.full((2, 4), now / 8)).square().sum())
        optimizer.step()
        optimizer.zero_grad()
        if now % EVERY == 0:
            one.save_state(str(out / f"step_{now}"))
    say("ended", steps, tensors(net))


def lightning(out: Path, steps: int, path: str | None, step: int) -> None:
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.net(batch).square().sum()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

        def on_train_start(self) -> None:
            say("began", self.trainer.global_step)

    L.seed_everything(0)
    net = Net()
    keep = ModelCheckpoint(dirpath=out, every_n_train_steps=EVERY, save_top_k=-1, monitor="loss", save_last=True)
    trainer = L.Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=out, callbacks=[keep],
    )  # fmt: skip
    trainer.fit(net, torch.utils.data.DataLoader(torch.arange(32.0).view(8, 4) / 32, batch_size=2), ckpt_path=path)
    say("ended", trainer.global_step, tensors(net))


def sb3_callback(out: Path, steps: int, path: str | None, step: int) -> None:
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import CheckpointCallback

    shape: dict[str, Any] = {"n_steps": EVERY, "batch_size": EVERY, "policy_kwargs": {"net_arch": [4]}, "seed": 1}
    agent = (
        PPO("MlpPolicy", "Pendulum-v1", **shape) if path is None else PPO.load(path, env=gymnasium.make("Pendulum-v1"))
    )
    say("began", agent.num_timesteps)
    agent.learn(steps - agent.num_timesteps, CheckpointCallback(EVERY, str(out)), reset_num_timesteps=path is None)
    say("ended", agent.num_timesteps)


def dcp(out: Path, steps: int, path: str | None, step: int) -> None:
    import torch
    import torch.distributed.checkpoint as checkpoint

    def load(net: Any, optimizer: Any) -> int:
        state = {"model": net.state_dict(), "step": torch.tensor(0)}
        checkpoint.load(state, checkpoint_id=path, no_dist=True)
        net.load_state_dict(state["model"])
        return int(state["step"])

    def save(net: Any, optimizer: Any, now: int) -> None:
        state = {"model": net.state_dict(), "step": torch.tensor(now)}
        checkpoint.save(state, checkpoint_id=out / f"step-{now}", no_dist=True)

    _loop(steps, load if path else None, save)


def torch_file(out: Path, steps: int, path: str | None, step: int) -> None:
    import torch

    def load(net: Any, optimizer: Any) -> int:
        state = torch.load(str(path))
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])

    def save(net: Any, optimizer: Any, now: int) -> None:
        state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": now, "loss": 1 / now}
        torch.save(state, out / f"net_{now}.pt")

    _loop(steps, load if path else None, save, torch.optim.Adam)


def orbax(out: Path, steps: int, path: str | None, step: int) -> None:
    import numpy as np
    import orbax.checkpoint as ocp

    state = {"w": np.zeros(4), "step": np.zeros((), np.int64)}
    if path is not None:
        with ocp.CheckpointManager(Path(path).parent) as before:
            state = before.restore(int(Path(path).name), args=ocp.args.StandardRestore(state))
    with ocp.CheckpointManager(out) as manager:
        say("began", int(state["step"]))
        for now in range(int(state["step"]) + 1, steps + 1):
            state = {"w": np.asarray(state["w"]) * 0.5 + now, "step": np.asarray(now)}
            if now % EVERY == 0:
                manager.save(now, args=ocp.args.StandardSave(state))
        manager.wait_until_finished()
    say("ended", steps, [np.asarray(state["w"])])


def tf_train(out: Path, steps: int, path: str | None, step: int) -> None:
    import tensorflow as tf

    weights, count = tf.Variable([0.0, 0.0]), tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(weights=weights, step=count)
    manager = tf.train.CheckpointManager(checkpoint, str(out), max_to_keep=None)
    if path is not None:
        checkpoint.restore(path).assert_consumed()
    say("began", int(count))
    for now in range(int(count) + 1, steps + 1):
        weights.assign(weights * 0.5 + now)
        count.assign(now)
        if now % EVERY == 0:
            manager.save(now)
    say("ended", steps, [weights.numpy()])


def keras(out: Path, steps: int, path: str | None, step: int) -> None:
    import numpy as np
    import tensorflow.keras as keras_

    data = np.arange(8.0).reshape(4, 2) / 8, np.ones((4, 1))
    if path is None:
        keras_.utils.set_random_seed(0)
        model = keras_.Sequential([keras_.layers.Input((2,)), keras_.layers.Dense(1)])
        model.compile("adam", "mse")
    else:
        model = keras_.models.load_model(path)
    say("began", int(model.optimizer.iterations))
    keep = keras_.callbacks.ModelCheckpoint(str(out / "m{epoch:02d}.keras"))
    model.fit(*data, batch_size=4, shuffle=False, epochs=steps, initial_epoch=step, verbose=0, callbacks=[keep])
    say("ended", int(model.optimizer.iterations), model.get_weights())


def _net() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Linear(4, 4)


def _loop(steps: int, load: Any, save: Any, kind: Any = None) -> None:
    import torch

    net = _net()
    optimizer = (kind or torch.optim.SGD)(net.parameters(), lr=0.01)
    step = load(net, optimizer) if load else 0
    say("began", step)
    for now in range(step + 1, steps + 1):
        optimizer.zero_grad()
        net(torch.full((2, 4), now / 8)).square().sum().backward()
        optimizer.step()
        if now % EVERY == 0:
            save(net, optimizer, now)
    say("ended", steps, tensors(net))


ALL = (hf_trainer, accelerate, lightning, sb3_callback, dcp, torch_file, orbax, tf_train, keras)

if __name__ == "__main__":
    os.environ |= ENVIRONMENT
    name, folder, last, *resumed = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    train = next(one for one in ALL if one.__name__ == name)
    train(Path(folder).resolve(), int(last), resumed[0] if resumed else None, int(resumed[1]) if resumed[1:] else 0)
