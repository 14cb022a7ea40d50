"""The part of a store's contract that is about its trash: what was removed comes back, or is freed for good."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ckptkit.storage.values import Leftover, Removed


class Trash(Protocol):
    """What a store does with what was removed, and with what saves that died have left behind."""

    def make_last(self, removed: Sequence[Removed | Leftover]) -> None:
        """Make removals outlast a power cut, or that leftovers were set aside."""

    def removed(self, run: str | None = None) -> list[Removed]:
        """Return what is in the trash of a run, or of all runs (of those that may be read), the last removed first."""

    def bring_back(self, removed: Removed) -> None:
        """Take a checkpoint back out of the trash.

        Raises:
            ConflictError: something is at its place already.
            DamagedError: nothing is left of it, or what belongs to it cannot be told: nothing was moved.
        """

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        """Finish removals that a crash cut in half.

        Args:
            run: the run.
            claimed: files that checkpoints which are still there list too; they stay.
        """

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """Return what saves that died left behind, and trash, older than ``grace`` seconds."""

    def set_aside(self, leftover: Leftover) -> Leftover:
        """Take it out of the trash in one step, for ``purge`` alone: nothing brings it back, and no lock guards it."""

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """Remove it for good; ``on_bytes`` is called with the sizes of what is gone."""
