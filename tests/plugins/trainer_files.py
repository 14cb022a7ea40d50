"""Program: what a dozen trainers leave on a disk, written by the trainers themselves: trainer_files.py DIR.

LeRobot's is written with safetensors and JSON under the names that its own ``save_checkpoint`` gives; what that writes
is in test_lerobot_trained.py.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def hugging_face(root: Path) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    class Data(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 16

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"input_ids": torch.full((4,), index), "labels": torch.tensor(index % 2)}

    size = {"vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(**size, intermediate_size=8, max_position_embeddings=8))
    arguments = TrainingArguments(
        str(root), save_steps=2, max_steps=2, per_device_train_batch_size=8, report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Data()).train()
    arguments.fp16 = True  # as on a GPU
    torch.save(arguments, root / "fp16.bin")
    model.save_pretrained(root / "sharded" / "checkpoint-2", max_shard_size="2KB")


def accelerate(root: Path) -> None:
    import torch
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    one = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_stateful_dataloader=True))
    net = torch.nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(net.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    loader = torch.utils.data.DataLoader(torch.arange(32.0).view(8, 4), batch_size=2)  # type: ignore[arg-type]
    net, optimizer, loader, scheduler = one.prepare(net, optimizer, loader, scheduler)
    for batch in loader:
        one.backward(net(batch).sum())
        optimizer.step()
        scheduler.step()
        break
    one.save_state(str(root / "checkpoint_1"))


def lightning(root: Path) -> None:
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters())
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    for name, only in (("whole", False), ("weights", True)):
        keep = ModelCheckpoint(dirpath=root, filename=name, save_weights_only=only)
        trainer = L.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[keep],
            enable_model_summary=False, default_root_dir=root,
        )  # fmt: skip
        trainer.fit(Net(), torch.utils.data.DataLoader(torch.arange(16.0).view(4, 4)))  # type: ignore[arg-type]


def torch_file(root: Path) -> None:
    import torch

    net = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam(net.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    states = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    torch.save({**states, "rng": torch.get_rng_state(), "epoch": 3}, root / "whole.pt")


def sb3(root: Path) -> None:
    import gymnasium
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.callbacks import CheckpointCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    def env() -> Any:
        return VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))

    def shape() -> dict[str, Any]:
        return {"policy_kwargs": {"net_arch": [4]}, "seed": 1}

    keep = {"save_replay_buffer": True, "save_vecnormalize": True}
    agent = SAC("MlpPolicy", env(), learning_starts=2, buffer_size=16, **shape())
    agent.learn(6, callback=CheckpointCallback(6, str(root / "sac"), **keep))  # type: ignore[arg-type]
    other = PPO("MlpPolicy", env(), n_steps=8, batch_size=8, **shape())
    other.learn(8, callback=CheckpointCallback(8, str(root / "ppo"), **keep))  # type: ignore[arg-type]


def tensorflow(root: Path) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    layers = [keras.layers.Input((4,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    for name in ("compiled", "bare"):
        model = keras.Sequential(layers)
        if name == "compiled":
            model.compile("adam", "mse")
            model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
        model.save(root / f"{name}.keras")
        model.save_weights(root / f"{name}.weights.h5")
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    iterator = iter(tf.data.Dataset.range(8).batch(2))
    next(iterator)
    pieces = {"model": model, "optimizer": optimizer, "iterator": iterator}
    tf.train.Checkpoint(**pieces, step=tf.Variable(3)).write(str(root / "whole"))
    for left_out in pieces:
        tf.train.Checkpoint(**{k: v for k, v in pieces.items() if k != left_out}).write(str(root / f"no-{left_out}"))
    tf.train.Checkpoint(model=model).write(str(root / "only-model"))
    tf.train.Checkpoint(iterator=iterator).write(str(root / "only-iterator"))


def lerobot(root: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = root / "checkpoints" / "000002"
    model, state = folder / "pretrained_model", folder / "training_state"
    for place in (model, state):
        place.mkdir(parents=True)
    save_file({"weight": torch.ones(2)}, model / "model.safetensors")
    save_file({"state/0/exp_avg": torch.ones(2)}, state / "optimizer_state.safetensors")
    save_file({"torch_rng_state": torch.get_rng_state()}, state / "rng_state.safetensors")
    texts = {
        model / "config.json": {"type": "act"},
        model / "train_config.json": {"steps": 4},
        state / "optimizer_param_groups.json": [{"lr": 0.1, "params": [0]}],
        state / "scheduler_state.json": {"last_epoch": 2},
        state / "training_step.json": {"step": 2},
    }
    for path, content in texts.items():
        path.write_text(json.dumps(content))


def other(root: Path) -> None:
    import torch
    from safetensors.torch import save_file

    folder = root / "checkpoint-2"
    folder.mkdir()
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    save_file(net.state_dict(), folder / "policy.safetensors")
    torch.save(optimizer.state_dict(), folder / "optimizer_state.pth")
    torch.save(torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(), folder / "scheduler_state.pth")


def numpy(root: Path) -> None:
    import numpy as np

    states = {"pcg": np.random.default_rng(1).bit_generator.state, "legacy": np.random.RandomState(1).get_state(False)}
    for name, state in states.items():
        (root / f"{name}.json").write_text(json.dumps(state, default=lambda value: value.tolist()))


ALL = (hugging_face, accelerate, lightning, torch_file, sb3, tensorflow, lerobot, other, numpy)

if __name__ == "__main__":
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    for write in ALL:
        (place := Path(sys.argv[1], write.__name__)).mkdir(parents=True)
        write(place)
