"""All trainers, by the kind of their layout."""

from collections.abc import Mapping

from ckptkit.trainers.dcp import Dcp
from ckptkit.trainers.hf_trainer import HfTrainer
from ckptkit.trainers.interface import Trainer
from ckptkit.trainers.lightning import Lightning
from ckptkit.trainers.sb3_callback import Sb3Callback
from ckptkit.trainers.torch_file import TorchFile

_ALL: tuple[Trainer, ...] = (HfTrainer(), Lightning(), Sb3Callback(), Dcp(), TorchFile())

TRAINERS: Mapping[str, Trainer] = {trainer.kind: trainer for trainer in _ALL}
"""By kind. A layout whose kind is not here is of nobody: only its names are known."""
