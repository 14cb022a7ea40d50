"""The file of the Lightning hook is Lightning's own, whether it is written at once or when training has gone on."""

import io
from pathlib import Path
from typing import Any

import pytest
from ckptkit_hooks.lightning_file import dumped

from ckptkit.backend import SnapshotContext

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def fit(place: Path, at: Any, **how: Any) -> None:
    from lightning.pytorch import Callback, LightningModule, Trainer

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters())

    class Tell(Callback):
        def on_train_batch_end(self, trainer: Any, *others: Any) -> None:
            at(trainer)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(
        max_epochs=1, callbacks=[Tell()], enable_checkpointing=False, default_root_dir=place, **quiet, **how
    )
    rows = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    trainer.fit(Module(), torch.utils.data.DataLoader(rows, batch_size=4))


def test_it_is_the_same_file_when_it_is_written_later(tmp_path: Path) -> None:
    theirs, later = [], []

    def at(trainer: Any) -> None:
        path = tmp_path / f"{trainer.global_step}.ckpt"
        trainer.save_checkpoint(path)
        theirs.append(path.read_bytes())
        content = dumped(trainer, str(path))
        assert content is not None
        now = io.BytesIO()
        content.write(now)
        assert now.getvalue() == theirs[-1]
        later.append(content.apart(SnapshotContext(step=trainer.global_step)))

    fit(tmp_path, at)
    for expected, write in zip(theirs, later, strict=True):
        stream = io.BytesIO()
        write(stream)
        assert _values(stream.getvalue()) == _values(expected)


def test_a_way_of_writing_that_is_not_lightnings_own_is_left_alone(tmp_path: Path) -> None:
    from lightning.pytorch.plugins.io import TorchCheckpointIO

    class Own(TorchCheckpointIO):
        pass

    found = []
    fit(tmp_path, lambda trainer: found.append(dumped(trainer, "x.ckpt")), plugins=[Own()], limit_train_batches=1)
    assert found == [None]


def _values(data: bytes) -> str:
    """Return all that is in a file, and the versions that modules leave in their state."""
    loaded = torch.load(io.BytesIO(data), weights_only=False)
    torch.set_printoptions(precision=12, threshold=10_000)
    return f"{loaded} {vars(loaded['state_dict'])}"
