"""One training run, and what it tells whoever listens: the seam for records of runs and for pages that show them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run of the trainer, from its start or from a checkpoint of another run.

    Attributes:
        agent_id: of the agent.
        run_id: of this run; a resumed training is a new run.
        checkpoint_dir: the store.
        parent: ``(run, episode)`` of the checkpoint that it goes on from, as in the manifests of its checkpoints.
        resumed_from: the zip of that checkpoint.
    """

    agent_id: str
    run_id: str
    checkpoint_dir: Path
    parent: tuple[str, int] | None = None
    resumed_from: Path | None = None

    @property
    def name(self) -> str:
        """The run as ckptkit calls it."""
        return f"{self.agent_id}/{self.run_id}"

    @property
    def folder(self) -> Path:
        """Where its checkpoints lie."""
        return self.checkpoint_dir / self.agent_id / self.run_id


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a checkpoint, told after it is certain.

    Attributes:
        kind: ``saved`` after the commit, ``pruned`` after the move to the trash.
        run: whose checkpoint it is.
        episode: of the checkpoint.
        path: its zip.
    """

    kind: Literal["saved", "pruned"]
    run: TrainingRun
    episode: int
    path: Path


Listener = Callable[[Event], object]


def tell(listeners: Sequence[Listener], event: Event) -> None:
    """Tell each listener; one that fails is logged, and keeps the others from nothing."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:  # the checkpoint is safe, whatever happens to the record of it
            logging.exception("a listener failed at %s %s", event.kind, event.path.name)
