"""All trainers, by the kind of their layout."""

from collections.abc import Mapping

from ckptkit.trainers.accelerate import Accelerate
from ckptkit.trainers.dcp import Dcp
from ckptkit.trainers.deepspeed import DeepSpeed
from ckptkit.trainers.hf_trainer import HfTrainer
from ckptkit.trainers.interface import Trainer
from ckptkit.trainers.keras import Keras
from ckptkit.trainers.lerobot import LeRobot
from ckptkit.trainers.lightning import Lightning
from ckptkit.trainers.orbax import Orbax
from ckptkit.trainers.rl_zoo import RlZoo
from ckptkit.trainers.sb3_callback import Sb3Callback
from ckptkit.trainers.tf_train import TfTrain
from ckptkit.trainers.torch_file import TorchFile

_ALL: tuple[Trainer, ...] = (
    *(HfTrainer(), LeRobot(), Orbax(), Lightning(), DeepSpeed(), Dcp(), Accelerate()),
    *(RlZoo(), Sb3Callback(), TfTrain(), Keras(), TorchFile()),
)

TRAINERS: Mapping[str, Trainer] = {trainer.kind: trainer for trainer in _ALL}
"""By kind. A layout whose kind is not here is of nobody: only its names are known."""
