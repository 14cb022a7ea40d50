"""The Lightning hook, with a small net and random augmentation, in processes of their own; also their script."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # as a program, this file lies outside every package

from ckptkit import CheckpointStore, Retain, Schedule
from tests.plugins import hooks_story
from tests.plugins.hooks_story import RUN, Story

pytestmark = pytest.mark.slow

EPOCHS, BATCHES = 4, 12
VARIANTS = {"workers": 10, "stream": 10, "validation-in-mid-epoch": 3}


def make_module() -> Any:
    import torch
    from lightning.pytorch import LightningModule
    from torch import nn

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", (self.net(batch) - batch.sum(1, keepdim=True)).square().mean())

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=100)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    return Module()


def loaders(variant: str) -> tuple[Any, Any]:
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    rows = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))

    class Augmented(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            return rows[index] + 0.1 * torch.randn(4)

    class Stream(IterableDataset):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            return (rows[index] + 0.1 * torch.randn(4) for index in torch.randperm(len(rows)))

    validation = DataLoader(rows[:8], batch_size=4)
    if variant == "stream":
        return DataLoader(Stream(), batch_size=4), validation
    workers = 2 if variant == "workers" else 0
    return DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=workers), validation


def train(store: Path, at_step: Callable[[int], None], variant: str) -> str:
    import torch
    from ckptkit_hooks.lightning_ import CheckpointCallback
    from lightning.pytorch import Callback, Trainer, seed_everything

    class Tell(Callback):
        def on_train_batch_end(self, trainer: Any, *others: Any) -> None:
            at_step(trainer.global_step)

    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    seed_everything(0)
    module = make_module()
    hook = CheckpointCallback(
        store,
        RUN,
        schedule=Schedule(every_steps=5, every_epochs=1),
        retain=Retain(last=2, best=1, metric="val_loss", mode="min"),
        wait=hooks_story.waits(),
    )
    trainer = Trainer(
        max_epochs=EPOCHS,
        accumulate_grad_batches=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=[hook, Tell()],
        num_sanity_val_steps=0,
        val_check_interval=0.5 if variant == "validation-in-mid-epoch" else None,
    )
    train_loader, val_loader = loaders(variant)
    trainer.fit(module, train_loader, val_loader, ckpt_path=hook.latest())
    hasher = hashlib.sha256(str((trainer.global_step, trainer.current_epoch)).encode())
    for value in module.state_dict().values():
        hasher.update(value.numpy().tobytes())
    hasher.update(torch.rand(4).numpy().tobytes())
    return hasher.hexdigest()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    place = tmp_path_factory.mktemp("lightning")
    return hooks_story.tell(__file__, place, kill_at=11, term_at=9, variants=VARIANTS)


def test_a_killed_and_resumed_run_ends_like_one_that_was_never_interrupted(story: Story) -> None:
    hooks_story.killed_without_a_word(story)
    hooks_story.the_same_end(story)


def test_a_damaged_newest_checkpoint_is_skipped_with_the_reason(story: Story) -> None:
    hooks_story.fell_back(story, to=6)


def test_sigterm_saves_first_and_ends_with_143(story: Story) -> None:
    hooks_story.saved_first(story, at=9)


def test_only_the_last_and_the_best_are_kept(story: Story) -> None:
    assert len(story.finished.steps) in (2, 3)
    assert story.finished.steps[-1] == 24


def test_everything_that_was_saved_verifies_and_is_graded_exact(story: Story) -> None:
    store = CheckpointStore(story.store)
    assert store.verify().exit_code == 0
    assert {listed.summary.grade for listed in store.list() if listed.summary} == {"complete"}


@pytest.mark.matrix
def test_a_run_whose_saves_go_on_behind_ends_like_one_that_waits_for_them(story: Story) -> None:
    assert story.behind == ("same", "complete")


@pytest.mark.matrix
def test_a_run_that_is_killed_while_its_saves_go_on_behind_comes_to_the_same_end(story: Story) -> None:
    hooks_story.killed_behind(story, __file__, kill_at=11)


def test_workers_streams_and_validation_in_mid_epoch_resume_exactly(story: Story) -> None:
    assert story.variants == dict.fromkeys(VARIANTS, ("same", "complete"))


if __name__ == "__main__":
    hooks_story.main(train)
