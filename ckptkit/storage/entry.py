"""A place in a store that claims to be a checkpoint: where it is, what its own files are called, and in which store."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.layouts import Layout
from ckptkit.manifest.names import MANIFEST_NAME, NOTES, OBSERVED_NAME, SHOWN_NAME, SIGNATURES_NAME, step_of_name

if TYPE_CHECKING:
    from ckptkit.storage.interface import Storage


@dataclass(frozen=True)
class Entry:
    """A place in a store that claims to be a checkpoint, read or not.

    Attributes:
        run: run name, by place: a checkpoint copied into another run's folder belongs to that run there.
        name: name of its folder, or what the names of its files begin with.
        layout: how its files lie.
        storage: the store it is in.
    """

    run: str
    name: str
    layout: Layout
    storage: "Storage" = field(repr=False)

    def __hash__(self) -> int:
        """Return the same for equal ones; the storage, which takes the longest, is that of nearly all of them."""
        return hash((self.run, self.name))

    @property
    def sidecar(self) -> bool:
        """Whether the manifest lies beside flat files (``ep000050.manifest.json``), in a folder shared with others."""
        return self.layout.shared

    @cached_property
    def step(self) -> int | None:
        """The step number that the name ends in; the manifest must agree with it."""
        return step_of_name(self.name)

    @property
    def ref(self) -> str:
        """``RUN@STEP``."""
        return f"{self.run}@{self.step}"

    @property
    def manifest_file(self) -> str:
        """Path of the manifest; it may be missing (an incomplete checkpoint)."""
        return self.layout.own(self.name, MANIFEST_NAME)

    @property
    def observed_file(self) -> str:
        """Path of the sealed file of what the live run did next; it may be missing."""
        return self.layout.own(self.name, OBSERVED_NAME)

    @property
    def shown_file(self) -> str:
        """Path of the file of what was shown of it since it was saved; it may be missing."""
        return self.layout.own(self.name, SHOWN_NAME)

    @property
    def signatures_file(self) -> str:
        """Path of the file with signatures over its manifest; it may be missing."""
        return self.layout.own(self.name, SIGNATURES_NAME)

    @property
    def notes(self) -> Sequence[str]:
        """Paths of all that may be noted of it beside its manifest."""
        return [self.layout.own(self.name, name) for name in NOTES]

    @property
    def identity(self) -> Hashable | None:
        """What tells it from another one that was put in its place; None once it is gone."""
        return self.storage.identity(self)

    @property
    def where(self) -> str:
        """Where it is, for a person: its folder, or the manifest beside its files."""
        return self.storage.where(self, self.manifest_file if self.layout.shared else None)

    @property
    def folder(self) -> Path:
        """The folder that paths are relative to; raises StoreError where the store is not on a file system."""
        return self.storage.folder(self)

    @property
    def manifest(self) -> Path:
        """The manifest file; raises StoreError as ``folder`` does."""
        return self._own / self.manifest_file

    @property
    def observed(self) -> Path:
        """The sealed file of what the live run did next; raises StoreError as ``folder`` does."""
        return self._own / self.observed_file

    @property
    def shown(self) -> Path:
        """The file of what was shown of it; raises StoreError as ``folder`` does."""
        return self._own / self.shown_file

    @property
    def _own(self) -> Path:
        """The folder of ckptkit's own files: what was adopted may lie in another one."""
        return self.storage.run_folder(self.run) if self.layout.shared else self.folder
