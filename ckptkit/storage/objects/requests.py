"""What an object service must be able to do by itself: single requests, which fail as its library makes them fail."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ckptkit.storage.objects.service import Info, Level, Only, Power, Written


class Requests(Protocol):
    """Requests to one service, below one prefix; ``SteadyObjects`` makes ``Objects`` of them.

    Nothing is tried again here but what only this room can try, such as a part of an upload. A missing object is a
    FileNotFoundError, a condition that is not met is ``Unmet``, all else is what the library raises. Threads share it.
    """

    @property
    def url(self) -> str:
        """What opens it again, without credentials; no ``/`` at its end."""

    @property
    def powers(self) -> frozenset[Power]:
        """What the service can do."""

    def look(self, key: str) -> Info:
        """Return what is known of an object."""

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix, in the order of the keys."""

    def read(self, key: str, start: int, length: int | None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on, and what it is: of one and the same version."""

    def write(self, key: str, data: bytes, only: Only | None) -> Written:
        """Write an object, all of it or nothing; raises Unmet."""

    def upload(self, key: str, path: Path) -> Written:
        """Write a file of any size; see ``Objects.upload``."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version; raises Unmet."""

    def copy(self, source: str, target: str) -> Info:
        """Copy an object."""

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return names of uploads that were begun over ``older`` seconds ago and never finished."""

    def abort(self, upload: str) -> None:
        """Take back an unfinished upload; gone already is no error."""


@runtime_checkable
class SupportsPages(Protocol):
    """Requests that list all that is below a prefix, and not one folder at a time."""

    def pages(self, prefix: str) -> Iterator[Sequence[Info]]:
        """Yield all objects below a prefix. After the first page it tries again by itself where that helps."""


@runtime_checkable
class SupportsUnseen(Protocol):
    """What may not be able to find all that its service keeps."""

    @property
    def unseen(self) -> str | None:
        """What is not found here, and what to do, in one line; None: nothing."""


@runtime_checkable
class SupportsDamage(Protocol):
    """What can send bytes that do not fit their checksum, to see whether they are refused."""

    def refuses_damaged(self, key: str) -> bool | None:
        """Return whether it was refused; None: that cannot be tried here. The object, if there is one, is left."""
