"""Program: a training of a LightningCLI: lightning_cli_training.py fit --OPTION=VALUE ..."""

from typing import Any

import torch
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel


class Net(BoringModel):
    """Learns from the same four batches in every epoch."""

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(torch.arange(128.0).view(4, 32) / 128)  # type: ignore[arg-type]

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters())

    def val_dataloader(self) -> Any:
        return []


if __name__ == "__main__":
    LightningCLI(Net)
