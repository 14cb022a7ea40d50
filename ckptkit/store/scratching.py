"""The scratch copy in which a rehearsal runs: one checkpoint in a store of its own, and the way there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ckptkit import scratch
from ckptkit.catalog import cache_folder
from ckptkit.storage import Entry, Storage, open_storage
from ckptkit.store import copying_out
from ckptkit.store.choosing import Chosen


@dataclass(frozen=True, slots=True)
class Place:
    """A scratch copy.

    Attributes:
        real: URL of the store that it is a copy of.
        storage: the scratch store.
        chosen: the checkpoint in it.
        folder: what is removed afterwards; contains the store.
    """

    real: str
    storage: Storage
    chosen: Chosen
    folder: Path

    @property
    def notes(self) -> Path:
        """The file in which the rehearsed process notes what it does."""
        return self.folder / "notes.json"

    def environment(self, steps: int, until: int) -> dict[str, str]:
        """Return the environment of the rehearsed process; trackers are silenced or redirected here."""
        rehearsal = scratch.Rehearsal(
            real=self.real,
            scratch=self.storage.url,
            run=self.chosen.at.run,
            step=self.chosen.manifest.step,
            steps=steps,
            until=until,
            notes=str(self.notes),
        )
        return os.environ | {
            scratch.VARIABLE: rehearsal.variable(),
            "CKPTKIT_STORE": self.storage.url,
            cache_folder.NONE: "1",  # nothing is to be known of a store that is gone in a minute
            "OMP_NUM_THREADS": str(self.chosen.manifest.environment.threads),  # the same order of additions
            "WANDB_MODE": "disabled",
            "WANDB_SILENT": "true",
            "COMET_MODE": "disabled",
            "DISABLE_MLFLOW_INTEGRATION": "TRUE",  # of transformers
            "MLFLOW_TRACKING_URI": (self.folder / "mlruns").as_uri(),
            "TENSORBOARD_LOGGING_DIR": str(self.folder / "tensorboard"),  # of transformers
        }

    def in_place(self, argument: str) -> str:
        """Return an argument of the command with the real store's path replaced where the scratch copy has the same."""
        before, found, after = argument.partition(self.real)
        inside = Path(self.storage.url) / after.lstrip("/")
        if not found or (after and not (after.startswith("/") and inside.exists())):
            return argument
        return f"{before}{self.storage.url}{after}"


@contextmanager
def copied(storage: Storage, chosen: Chosen) -> Iterator[Place]:
    """Copy a checkpoint into a fresh scratch store, checking every byte; it is removed after the block.

    Raises:
        DamagedError: a file changed since it was saved.
        StoreError: the folder for temporary files (``TMPDIR``) has no room.
    """
    with tempfile.TemporaryDirectory(prefix="ckptkit-rehearsal-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        copy = open_storage(folder / "store")
        at = Entry(chosen.at.run, chosen.at.name, chosen.at.layout, copy)
        at.folder.parent.mkdir(parents=True, exist_ok=True)
        with copying_out.new_folder(at.folder) as new:
            copying_out.copy_out(chosen, new)
            new.finish(chosen.at)
        yield Place(storage.url, copy, Chosen(at, chosen.manifest), folder)
