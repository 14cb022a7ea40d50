"""Guest of ckptkit: Stable-Baselines3 agents that continue training exactly. Importing it imports no framework."""

from ckptkit_sb3.backend import Sb3Backend
from ckptkit_sb3.boundary import CheckpointBoundary
from ckptkit_sb3.cycle import cycle_of
from ckptkit_sb3.wrapper import checkpointable

__all__ = ["CheckpointBoundary", "Sb3Backend", "checkpointable", "cycle_of"]
