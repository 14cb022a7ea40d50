"""The ``sb3`` backend: an ordinary SB3 zip, and beside it, in files without code, all that the zip does not hold."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ckptkit.backend import CheckContext, LoadContext, Pending, Problem, Proof, SaveContext, SavedItem, SnapshotContext
from ckptkit_sb3 import adopt, structure
from ckptkit_sb3.agent import ALGORITHM
from ckptkit_sb3.names import is_kind


class Sb3Backend:
    """Saves any algorithm that follows Stable-Baselines3's base classes, so that training continues exactly.

    Save at a clean boundary (``CheckpointBoundary``, or before or after ``learn``); ``load`` returns a ``Resumed``.
    """

    name: ClassVar[str] = "sb3"
    format_version: ClassVar[int] = 2
    looks_for: ClassVar[str] = "a .zip of SB3's model.save"

    def can_save(self, item: object, /) -> bool:
        """Return whether the item is an SB3 algorithm; imports nothing."""
        return is_kind(item, ALGORITHM)

    def save(self, item: Any, directory: Path, *, context: SaveContext) -> SavedItem:
        """Write the zip, the replay rows and the rest of the state.

        Args:
            item: the algorithm.
            directory: the item's empty folder.
            context: ``factories["env"]`` builds a fresh environment for the self-test of its state, where the
                environment's own ``spec`` cannot.

        Raises:
            BackendError: the algorithm is in the middle of a rollout or an update, or its zip cannot be written.
        """
        from ckptkit_sb3 import write

        return write.save(item, directory, context)

    def snapshot(self, item: Any, /, *, context: SnapshotContext) -> Pending:
        """Write the zip into memory, take the rest of the state, and copy the rows; files are written later.

        Raises:
            BackendError: see ``save``.
        """
        from ckptkit_sb3 import write

        return write.snapshot(item, context)

    def load(self, directory: Path, *, target: Any | None, context: LoadContext) -> Any:
        """Put the state back and return a ``Resumed``: give its ``callback`` to the first ``learn``.

        Args:
            directory: the item's folder.
            target: an algorithm that was built like the saved one (nothing is unpickled), or an environment (the
                algorithm is built from the zip if every pickle in it is known), or None.
            context: for no target, ``factories["model"]`` or ``factories["env"]``.

        Raises:
            DamagedError: the files do not hold what they should; the target is unchanged.
            UnsafeContentError: loading would run code.
            BackendError: the state does not fit the target (or is not an agent); the target is unchanged.
        """
        from ckptkit_sb3 import resume

        return resume.load(directory, target, context)

    def check(self, directory: Path, *, context: CheckContext) -> Iterable[Problem]:
        """Yield what is wrong with the files: zip, JSON, pickles, nested torch files, arrays, generator states."""
        return structure.check(directory, context)

    def recognise(self, path: Path, /) -> Mapping[str, Path] | None:
        """Return the files of an SB3 zip that a trainer wrote, with the metadata and pickles that lie beside it."""
        return adopt.recognise(path)

    def describe(self, directory: Path, *, context: CheckContext) -> SavedItem:
        """Return what an adopted zip says of itself: counters, algorithm and what it cannot restore."""
        return adopt.describe(directory, context)

    def estimate_bytes(self, item: Any, /) -> int:
        """Return roughly the bytes of networks, optimizer moments and filled replay rows."""
        from ckptkit_sb3 import write

        return write.estimate(item)

    def digests(self, item: Any, /) -> Mapping[str, str]:
        """Return a digest of every part of a live algorithm: networks, replay rows, environments, generators, ..."""
        from ckptkit_sb3 import probe

        return probe.digests(getattr(item, "model", item))

    def prove(self, directory: Path, *, context: LoadContext) -> Proof:
        """Load the item, capture it again, and compare part by part with what was saved."""
        from ckptkit_sb3 import probe

        return probe.prove(directory, context)
