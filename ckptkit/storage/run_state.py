"""The part of a store's contract that belongs to a run and to no checkpoint: small files of ckptkit's, and locks."""

from contextlib import AbstractContextManager
from typing import Protocol

from ckptkit.storage.values import Lock


class RunState(Protocol):
    """What a store keeps for a run."""

    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        """Return a small file of ckptkit's own, or None: there is none. Raises as ``read`` otherwise."""

    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        """Replace such a file in one step: readers see the old or the new content.

        Args:
            run: the run.
            name: of the file.
            data: its content.
            lasting: also after a power cut, which costs two flushes; what is disposable need not.
        """

    def where_state(self, run: str, name: str) -> str:
        """Return where such a file is, for a person."""

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        """Return a context that holds a lock of the run, which another thread may leave; it dies with the process.

        Raises:
            LockedError: another process holds it for too long.
        """

    def hold(self, run: str) -> None:
        """Hold a run for this process until it ends or lets it go; again is nothing.

        Raises:
            LockedError: another process holds it; the message says which one.
        """

    def release(self, run: str) -> None:
        """Let a run go; without effect where it is not held."""
