"""State that Lightning's checkpoint lacks: put back by the hook in a new process, or named; also its training."""

import hashlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import Schedule
from tests.plugins import three_runs
from tests.plugins.three_runs import RUN, StopTrainingError

pytestmark = pytest.mark.matrix

SAVES = (12, 15)  # at the end of the first epoch, inside the second one
KINDS = (
    "a module that changes", "a dataset that counts", "persistent workers", "draws in persistent workers", "averaging",
    "an accumulation schedule", "a callback that counts", "a sampler with epochs", "a batch sampler with its own epoch",
)  # fmt: skip
NAMED = ("draws in persistent workers",)


def data(kind: str) -> Any:
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset, Sampler

    rows = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))

    class Rows(Dataset[Any]):
        def __init__(self) -> None:
            self.count = 0

        def __len__(self) -> int:
            return 48

        def __getitem__(self, index: int) -> Any:
            self.count += "counts" in kind
            return rows[index] + self.count / 100 + (0.1 * torch.randn(4) if "draws" in kind else 0.0)

    class Epochs(Sampler[Any]):
        def __init__(self) -> None:
            self.epoch = 0

        def __len__(self) -> int:
            return 12 if "batch" in kind else 48

        def __iter__(self) -> Iterator[Any]:
            if "own" in kind:
                self.epoch += 1
            order = np.random.default_rng(self.epoch).permutation(48).tolist()
            return iter([order[i : i + 4] for i in range(0, 48, 4)] if "batch" in kind else order)

    class Told(Epochs):
        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    workers: dict[str, Any] = {"num_workers": 2, "persistent_workers": True} if "workers" in kind else {}
    if "batch sampler" in kind:
        return DataLoader(Rows(), batch_sampler=Epochs())
    if "sampler" in kind:
        return DataLoader(Rows(), batch_size=4, sampler=Told())
    return DataLoader(Rows(), batch_size=4, shuffle=True, **workers)


def module(kind: str) -> Any:
    import torch
    from lightning.pytorch import LightningModule
    from torch import nn

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.rng = 0, torch.Generator().manual_seed(2)
            self.register_buffer("mean", torch.zeros(1), persistent=False)

        def forward(self, x: Any) -> Any:
            if kind != "a module that changes":
                return x
            self.calls += 1
            self.mean.mul_(0.9).add_(float(x.mean().detach()))
            return x * (1 + self.calls / 100) + self.mean + 0.01 * torch.randn(x.shape, generator=self.rng)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.seen = 0
            self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), Inner(), nn.Linear(8, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen += 1
            if kind == "a module that changes":
                self.net[2].p = 0.1 + self.seen / 500
                self.net[0].weight.requires_grad_(self.seen < 3)
            return (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=1e-2, momentum=0.9)
            return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)}

    return Module()


def callbacks(kind: str, stop: int | None) -> list[Any]:
    from lightning.pytorch import Callback
    from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging

    class Counting(Callback):
        def __init__(self) -> None:
            self.steps = 0

        def on_train_batch_start(self, trainer: Any, *others: Any) -> None:
            if trainer.global_step == stop:
                raise StopTrainingError
            self.steps += 1
            if kind == "a callback that counts":
                trainer.optimizers[0].param_groups[0]["momentum"] = 0.9 - self.steps / 1000

    more: dict[str, Any] = {
        "averaging": lambda: [StochasticWeightAveraging(5e-3, swa_epoch_start=1, annealing_epochs=3)],
        "an accumulation schedule": lambda: [GradientAccumulationScheduler({0: 1, 1: 2})],
    }
    return [*more.get(kind, list)(), Counting()]


def train(kind: str, place: Path, stop: int | None, resume: int | None) -> str | None:
    import torch
    from ckptkit_hooks.lightning_ import CheckpointCallback
    from lightning.pytorch import Trainer, seed_everything

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    seed_everything(0 if resume is None else 99, verbose=False)
    saving = stop is not None or resume is not None
    every = 1 if stop is not None else 10**6
    hooks = [
        CheckpointCallback(
            place / "store", RUN, schedule=Schedule(every_steps=every, every_epochs=every), replace_newer=True
        )
    ]
    trainer = Trainer(
        max_epochs=3, logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        callbacks=[*callbacks(kind, stop), *(hooks if saving else [])], enable_checkpointing=saving,
        use_distributed_sampler=False,
    )  # fmt: skip
    net = module(kind)
    try:
        trainer.fit(net, data(kind), ckpt_path=None if resume is None else hooks[0].latest(f"{RUN}@{resume}"))
    except StopTrainingError:
        return None
    hasher = hashlib.sha256(str((trainer.global_step, trainer.current_epoch)).encode())
    for value in net.state_dict().values():
        hasher.update(value.numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    return three_runs.tell(__file__, tmp_path_factory.mktemp("lightning-state"))


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NAMED])
def test_a_resumed_training_ends_as_one_that_never_saved(runs: Mapping[str, Any], kind: str, save: int) -> None:
    assert runs["first"][kind][str(save)] == []
    assert runs["second"][kind][str(save)] == runs["straight"][kind]


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("kind", NAMED)
def test_what_is_missing_is_named(runs: Mapping[str, Any], kind: str, save: int) -> None:
    (reason,) = runs["first"][kind][str(save)]
    assert "persistent workers, which go on from epoch to epoch" in reason
    assert len(runs["second"][kind][str(save)]) == 64  # it trained to the end


if __name__ == "__main__":
    three_runs.main(train, KINDS, SAVES)
