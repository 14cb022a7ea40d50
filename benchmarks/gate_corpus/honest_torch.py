"""Files of torch and what stands on it: torch.save, DCP, FSDP, Lightning, accelerate, Hugging Face; Keras, NumPy."""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

Write = Callable[[Path], tuple[Path, list[Path]]]
Writer = tuple[str, str, str | None, Write]
"""Family, label, backend, and what writes it."""


def writers() -> Iterator[Writer]:
    """Yield what writes each case."""
    for name in ("model.pt", "model.ckpt", "pytorch_model.bin", "weights"):
        yield "torch", f"torch.save as {name}", "files", _saved(name)
        yield (
            "legacy torch",
            f"the form before 1.6 as {name}",
            "files",
            _saved(name, _use_new_zipfile_serialization=False),
        )
    yield "torch", "optimizer, scheduler, generators", "files", _states
    yield "DCP", "a folder of torch.distributed.checkpoint", "files", _dcp
    yield "FSDP", "a folder of sharded states", "files", _fsdp
    yield "Lightning", "a .ckpt of a trainer", "files", _lightning
    yield "accelerate", "a folder of save_state", "files", _accelerate
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        yield "Hugging Face", name, "files", _hugging_face(name)
    yield "Hugging Face", "a checkpoint folder", None, _hf_folder
    yield "Keras", "a .keras file", "files", _keras
    yield "NumPy", "npy, npz, compressed npz", "files", _numpy
    yield "NumPy objects", "an array of objects", "files", _objects
    yield "joblib", "arrays, trusted", "files", _joblib("a.joblib", 0)
    yield "joblib", "arrays in gzip, trusted", "files", _joblib("a.joblib.gz", ("gzip", 3))


def model() -> torch.nn.Module:
    """Return a small model."""
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Return a model after a step, and its optimizer."""
    net = model()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return net, optimizer


def _saved(name: str, **options: Any) -> Write:
    def write(folder: Path) -> tuple[Path, list[Path]]:
        net, optimizer = trained()
        torch.save(
            {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "step": 7}, folder / name, **options
        )
        return folder / name, []

    return write


def _states(folder: Path) -> tuple[Path, list[Path]]:
    _, optimizer = trained()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    generators = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    for name, value in (("a.bin", optimizer.state_dict()), ("b", scheduler.state_dict()), ("c.dat", generators)):
        torch.save(value, folder / name)
    return folder, []


def _dcp(folder: Path) -> tuple[Path, list[Path]]:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict

    net, optimizer = trained()
    weights, moments = get_state_dict(net, optimizer)
    state = {"model": weights, "optimizer": moments, "rng": torch.get_rng_state(), "step": 3}
    dcp.save(state, checkpoint_id=folder / "dcp", no_dist=True)
    return folder / "dcp", []


@contextlib.contextmanager
def _process_group() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _fsdp(folder: Path) -> tuple[Path, list[Path]]:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.fsdp import fully_shard

    with _process_group():
        net = torch.nn.Linear(4, 2)
        fully_shard(net, mesh=torch.distributed.init_device_mesh("cpu", (1,)))
        optimizer = torch.optim.AdamW(net.parameters())
        net(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        weights, moments = get_state_dict(net, optimizer)
        torch.save([weights, moments], folder / "shard_0.bin")
        dcp.save({"model": weights, "optimizer": moments}, checkpoint_id=folder / "pytorch_model_fsdp_0")
    return folder, []


def _lightning(folder: Path) -> tuple[Path, list[Path]]:
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    class Module(lightning.LightningModule):
        def __init__(self, rate: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(4, 2)

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss: torch.Tensor = self.layer(batch[0]).pow(2).mean()
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(torch.ones(8, 4)), batch_size=4)

    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(default_root_dir=folder, max_epochs=1, accelerator="cpu", **quiet)
    trainer.fit(Module())
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt", []


def _accelerate(folder: Path) -> tuple[Path, list[Path]]:
    from accelerate import Accelerator
    from torch.utils.data import DataLoader, TensorDataset

    accelerator = Accelerator(cpu=True)
    net = model()
    optimizer = torch.optim.AdamW(net.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    loader = DataLoader(TensorDataset(torch.ones(8, 4)), batch_size=4, shuffle=True)
    net, optimizer, scheduler, loader = accelerator.prepare(net, optimizer, scheduler, loader)
    for (batch,) in loader:
        accelerator.backward(net(batch).sum())
        optimizer.step()
        scheduler.step()
    accelerator.save_state(str(folder / "state"), safe_serialization=False)
    return folder / "state", []


def _hugging_face(name: str) -> Write:
    def write(folder: Path) -> tuple[Path, list[Path]]:
        from transformers import TrainingArguments

        _, optimizer = trained()
        values = {
            "training_args.bin": lambda: TrainingArguments(str(folder), use_cpu=True, report_to=[]),
            "optimizer.pt": optimizer.state_dict,
            "scheduler.pt": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 2).state_dict(),
            "rng_state.pth": lambda: {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "cpu": torch.random.get_rng_state(),
            },
        }
        torch.save(values[name](), folder / name)
        return folder / name, []

    return write


def _hf_folder(folder: Path) -> tuple[Path, list[Path]]:
    from torch.utils.data import Dataset
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    class Tokens(Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, _: int) -> dict[str, torch.Tensor]:
            return {"input_ids": torch.arange(8), "labels": torch.arange(8)}

    net = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2))
    settings: dict[str, Any] = {"max_steps": 1, "save_steps": 1, "report_to": [], "disable_tqdm": True, "use_cpu": True}
    Trainer(net, TrainingArguments(str(folder), **settings), train_dataset=Tokens()).train()
    return folder / "checkpoint-1", []


def _keras(folder: Path) -> tuple[Path, list[Path]]:
    import keras

    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    net.compile("adam", "mse", metrics=["mae"])
    net.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    net.save(folder / "model.keras")
    return folder / "model.keras", []


def _numpy(folder: Path) -> tuple[Path, list[Path]]:
    np.save(folder / "a.npy", np.ones((3, 4)))
    np.savez(folder / "b.npz", x=np.arange(5), y=np.ones(2, "c16"))
    np.savez_compressed(folder / "c.npz", flags=np.zeros(1_000_000, bool))
    return folder, []


def _objects(folder: Path) -> tuple[Path, list[Path]]:
    np.save(folder / "a.npy", np.array([{"a": 1}, None, "b"], dtype=object), allow_pickle=True)
    return folder / "a.npy", []


def _joblib(name: str, compress: Any) -> Write:
    def write(folder: Path) -> tuple[Path, list[Path]]:
        joblib.dump({"a": np.arange(1000.0), "b": np.float64(1), "c": [np.ones((3, 4), "f4")]}, folder / name, compress)
        return folder / name, [folder / name]

    return write
