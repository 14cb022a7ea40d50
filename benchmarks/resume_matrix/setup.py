"""What a set-up is given: whether it saves, where, when it dies, and how it is started again."""

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

RUN = "matrix/run"


@dataclass(frozen=True)
class Setup:
    """One training.

    Attributes:
        name: of the set-up, as ``python -m benchmarks.resume_matrix train NAME`` takes it.
        store: where to save; None: train without ckptkit, or anything of it.
        dies_at: the step at which the process kills itself; None: it lives.
    """

    name: str
    store: str | None = None
    dies_at: int | None = None

    @property
    def resume(self) -> list[str]:
        """The run's own command, for the hooks."""
        return [sys.executable, "-m", "benchmarks.resume_matrix", "train", self.name, "{store}"]

    def at_step(self, step: int) -> None:
        """Die here, if it is time."""
        if self.dies_at is not None and step >= self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


Train = Callable[[Setup], str]
"""Trains to the end and returns a digest of where that is."""


def digest(tensors: Iterable[Any]) -> str:
    """Return a digest of tensors or arrays, in order."""
    found = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
        found.update(array.tobytes())
    return found.hexdigest()[:16]
