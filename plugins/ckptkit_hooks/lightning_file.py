"""Lightning's ``.ckpt``, as Lightning writes it, but written by a save: from copies where training goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

from ckptkit_safetensors.copied import copy_of

from ckptkit.backend import SnapshotContext

_PLAIN = "TorchCheckpointIO"
_BASE = "strategies.strategy"


@dataclass(slots=True, eq=False)
class Dumped:
    """What ``trainer.save_checkpoint`` gave to be written; see ``ckptkit_files.Content``."""

    checkpoint: Any = None

    def write(self, stream: BufferedIOBase) -> None:
        """Write the file."""
        import torch

        torch.save(self.checkpoint, stream)

    def apart(self, context: SnapshotContext) -> Callable[[BufferedIOBase], None]:
        """Copy the tensors, and return what writes the file later."""
        copy, ready = copy_of(self.checkpoint, context)

        def write(stream: BufferedIOBase) -> None:
            ready()
            Dumped(copy).write(stream)

        return write


def dumped(trainer: Any, path: str) -> Dumped | None:
    """Return what a trainer would write, or None where its strategy or a plugin of it writes in a way of its own.

    Args:
        trainer: the trainer.
        path: which name the file would have; nothing is written to it.
    """
    strategy = trainer.strategy
    plain = type(strategy.checkpoint_io).__name__ == _PLAIN
    if not plain or not type(strategy).save_checkpoint.__module__.endswith(_BASE):
        return None
    held = Dumped()
    with _standing_in(strategy, held):
        trainer.save_checkpoint(path)
    return held


@contextmanager
def _standing_in(strategy: Any, held: Dumped) -> Iterator[None]:
    original = strategy.checkpoint_io
    strategy.checkpoint_io = _StandIn(held)
    try:
        yield
    finally:
        strategy.checkpoint_io = original


class _StandIn:
    """Takes the place of the strategy's ``CheckpointIO`` while the trainer dumps its state."""

    def __init__(self, held: Dumped) -> None:
        self._held = held

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        """Keep the checkpoint."""
        self._held.checkpoint = checkpoint
