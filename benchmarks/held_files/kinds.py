"""What is written, by which library: each function writes one kind of checkpoint, and says how it is to be saved."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Held:
    """Files that were written, and how a person would save them.

    Attributes:
        path: what to name in ``ckptkit save``.
        step: at which step they are.
        backend: which backend to name; None: found by content.
    """

    path: Path
    step: int
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        name: for people.
        libraries: distributions that write it, the first one is shown with its version.
        write: writes it into an empty folder.
        note: what is not real about it.
    """

    name: str
    libraries: tuple[str, ...]
    write: Callable[[Path], Held]
    note: str = ""

    def is_here(self) -> bool:
        """Return whether the libraries are installed."""
        return all(util.find_spec(_MODULES.get(name, name.replace("-", "_"))) for name in self.libraries)

    def written_by(self) -> str:
        """Return library and version."""
        return f"{self.libraries[0]} {metadata.version(self.libraries[0])}{self.note}"


_MODULES = {"stable-baselines3": "stable_baselines3", "orbax-checkpoint": "orbax"}


def _net() -> Any:
    import torch

    return torch.nn.Linear(4, 4)


def trained(steps: int) -> tuple[Any, Any, Any]:
    """Return a model, its optimizer and a scheduler after some steps."""
    import torch

    net = _net()
    optimizer = torch.optim.AdamW(net.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100)
    for _ in range(steps):
        net(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        scheduler.step()
    return net, optimizer, scheduler


def hugging_face(root: Path) -> Held:
    """Two checkpoints of the Trainer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 32, (24, 8))]
    arguments = TrainingArguments(
        str(root), max_steps=6, save_steps=2, per_device_train_batch_size=2, report_to=[], use_cpu=True,
        disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=8))
    Trainer(model, arguments, train_dataset=rows).train()
    return Held(root / "checkpoint-6", 6)


def deepspeed(root: Path) -> Held:
    """The Trainer's folder with the optimizer where DeepSpeed puts it."""
    import torch

    held = hugging_face(root)
    place = held.path / "global_step6"
    place.mkdir()
    state = torch.load(held.path / "optimizer.pt")
    torch.save({"optimizer_state_dict": state}, place / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    (held.path / "latest").write_text("global_step6")
    (held.path / "optimizer.pt").unlink()
    return held


def sharded(root: Path) -> Held:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=64, n_positions=16))
    model.save_pretrained(root / "checkpoint-9", max_shard_size="8KB")
    return Held(root / "checkpoint-9", 9)


def accelerate(root: Path) -> Held:
    import torch
    from accelerate import Accelerator

    one = Accelerator(cpu=True)
    net, optimizer, scheduler = trained(0)
    net, optimizer, scheduler = one.prepare(net, optimizer, scheduler)
    for _ in range(6):
        one.backward(net(torch.ones(2, 4)).sum())
        optimizer.step()
        scheduler.step()
    one.save_state(str(root / "checkpoint_2"))
    return Held(root / "checkpoint_2", 6)


def lightning(root: Path) -> Held:
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Net(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = _net()

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    keep = ModelCheckpoint(dirpath=root, save_top_k=-1)
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[keep],
        enable_model_summary=False, default_root_dir=root,
    )  # fmt: skip
    rows: Any = torch.arange(32.0).view(8, 4)  # a tensor serves as a dataset, and is not typed as one
    trainer.fit(Net(), torch.utils.data.DataLoader(rows, batch_size=2))
    return Held(root / "epoch=1-step=8.ckpt", 8, "files")


def lerobot(root: Path, step: int = 4) -> Held:
    from safetensors.torch import save_file

    folder = root / f"{step:06}"
    model, state = folder / "pretrained_model", folder / "training_state"
    for place in (model, state):
        place.mkdir(parents=True)
    net, optimizer, scheduler = trained(step)
    save_file(net.state_dict(), model / "model.safetensors")
    flat = {f"state/{i}/{k}": v for i, part in optimizer.state_dict()["state"].items() for k, v in part.items()}
    save_file(flat, state / "optimizer_state.safetensors")
    import torch

    save_file({"torch_rng_state": torch.get_rng_state()}, state / "rng_state.safetensors")
    plan = {key: value for key, value in scheduler.state_dict().items() if key in ("last_epoch", "_step_count")}
    texts = {
        model / "config.json": {"type": "act"},
        model / "train_config.json": {"steps": 8, "policy": {"use_amp": False}},
        state / "optimizer_param_groups.json": [{"lr": 0.1, "params": [0, 1]}],
        state / "scheduler_state.json": plan,
        state / "training_step.json": {"step": step},
    }
    for path, content in texts.items():
        path.write_text(json.dumps(content, indent=1))
    return Held(folder, step)


def sb3(root: Path) -> Held:
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import CheckpointCallback
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    keep = CheckpointCallback(150, str(root), save_replay_buffer=True, save_vecnormalize=True)
    agent = SAC("MlpPolicy", env, buffer_size=400, learning_starts=290, policy_kwargs={"net_arch": [4]}, seed=1)
    agent.learn(300, callback=keep)
    return Held(root / "rl_model_300_steps.zip", 300)


def tensorflow(root: Path) -> Held:
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(4)])
    checkpoint = tf.train.Checkpoint(model=model, optimizer=tf.keras.optimizers.Adam(), step=tf.Variable(7))
    tf.train.CheckpointManager(checkpoint, str(root / "tf"), 3).save(7)
    return Held(root / "tf", 7)


def keras_file(root: Path) -> Held:
    _keras_model().save(root / "model.keras")
    return Held(root / "model.keras", 1, "files")


def keras_weights(root: Path) -> Held:
    _keras_model().save_weights(root / "model.weights.h5")
    return Held(root / "model.weights.h5", 1, "files")


def keras_backup(root: Path) -> Held:
    import keras
    import numpy as np

    backup = keras.callbacks.BackupAndRestore(str(root / "backup"), delete_checkpoint=False)
    _keras_model().fit(np.ones((8, 4)), np.ones((8, 2)), epochs=2, verbose=0, callbacks=[backup])
    return Held(root / "backup", 2, "files")


def _keras_model() -> Any:
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    return model


def dcp(root: Path) -> Held:
    import warnings

    import torch.distributed.checkpoint as dcp

    net, optimizer, _ = trained(5)
    with warnings.catch_warnings(action="ignore"):
        state = {"model": net.state_dict(), "optimizer": optimizer.state_dict()["state"]}
        dcp.save(state, checkpoint_id=root / "step-5", no_dist=True)
    return Held(root / "step-5", 5, "files")


def torch_file(root: Path) -> Held:
    import torch

    net, optimizer, _ = trained(3)
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, root / "checkpoint_e3.pt")
    return Held(root / "checkpoint_e3.pt", 3, "files")


def legacy_torch_file(root: Path) -> Held:
    import torch

    torch.save(_net().state_dict(), root / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    return Held(root / "pytorch_model.bin", 1, "files")


def safetensors(root: Path) -> Held:
    from safetensors.torch import save_file

    save_file(_net().state_dict(), root / "actor.safetensors")
    return Held(root / "actor.safetensors", 1)


def orbax(root: Path) -> Held:
    import numpy as np
    import orbax.checkpoint

    with orbax.checkpoint.StandardCheckpointer() as writer:
        writer.save(root / "10", {"a": np.arange(10.0), "b": {"c": np.ones((3, 4))}})
    return Held(root / "10", 10, "files")


def numpy_generators(root: Path) -> Held:
    import numpy as np

    (root / "rng.json").write_text(json.dumps(np.random.default_rng(1).bit_generator.state))
    return Held(root / "rng.json", 1)


def numpy_arrays(root: Path) -> Held:
    import numpy as np

    np.savez(root / "arrays.npz", a=np.arange(30.0), b=np.ones((3, 3)))
    return Held(root / "arrays.npz", 1, "files")


def parquet(root: Path) -> Held:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"index": list(range(40)), "text": [str(i) for i in range(40)]}), root / "data.parquet")
    return Held(root / "data.parquet", 1, "files")


def gguf(root: Path) -> Held:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(root / "model.gguf", "llama")
    writer.add_block_count(1)
    writer.add_tensor("half", np.ones((4, 8), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Held(root / "model.gguf", 1, "files")


def onnx(root: Path) -> Held:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    place = root / "model"
    place.mkdir()
    onnx.save(
        helper.make_model(graph), place / "model.onnx", save_as_external_data=True, location="model.data",
        size_threshold=0,
    )  # fmt: skip
    return Held(place, 1, "files")


def hub_snapshot(root: Path) -> Held:
    """A model as the hub's cache holds it: everything in the snapshot is a link."""
    held = sharded(root)
    hub = root / "models--x--y"
    snapshot = hub / "snapshots" / "0a1b2c"
    snapshot.mkdir(parents=True)
    shutil.move(held.path, hub / "blobs")
    for number, blob in enumerate(sorted((hub / "blobs").iterdir())):
        name = blob.name
        blob = blob.rename(blob.with_name(f"{number:040x}"))
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    return Held(snapshot, 9)


_BY_NAME = " by its names"
KINDS = (
    Kind("Trainer, `checkpoint-6/`", ("transformers", "accelerate", "torch"), hugging_face),
    Kind(
        "Trainer with DeepSpeed's folder", ("transformers", "accelerate", "torch"), deepspeed, "; DeepSpeed" + _BY_NAME
    ),
    Kind("sharded model, `save_pretrained`", ("transformers", "torch"), sharded),
    Kind("snapshot of the hub's cache", ("transformers", "torch"), hub_snapshot, "; links by hand"),
    Kind("accelerate, `save_state`", ("accelerate", "torch"), accelerate),
    Kind("Lightning, `.ckpt`", ("lightning", "torch"), lightning),
    Kind("LeRobot, `000004/`", ("safetensors", "torch"), lerobot, "; LeRobot" + _BY_NAME),
    Kind("SB3, `CheckpointCallback`", ("stable-baselines3",), sb3),
    Kind("`tf.train.CheckpointManager`", ("tensorflow",), tensorflow),
    Kind("Keras, `.keras`", ("keras", "tensorflow"), keras_file),
    Kind("Keras, `.weights.h5`", ("keras", "tensorflow"), keras_weights),
    Kind("Keras, `BackupAndRestore`", ("keras", "tensorflow"), keras_backup),
    Kind("`torch.distributed.checkpoint`", ("torch",), dcp),
    Kind("`torch.save`", ("torch",), torch_file),
    Kind("`torch.save`, before 1.6", ("torch",), legacy_torch_file),
    Kind("safetensors", ("safetensors", "torch"), safetensors),
    Kind("Orbax", ("orbax-checkpoint",), orbax),
    Kind("NumPy, JSON of a generator", ("numpy",), numpy_generators),
    Kind("NumPy, `.npz`", ("numpy",), numpy_arrays),
    Kind("Parquet", ("pyarrow",), parquet),
    Kind("GGUF", ("gguf",), gguf),
    Kind("ONNX with external data", ("onnx",), onnx),
)
