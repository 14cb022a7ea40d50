"""The contract of an object service: the few things that a store asks of S3, GCS, Azure, a server over SFTP, or memory.

Keys have ``/`` between their parts and begin below the prefix that was opened. Nothing is ever cached: what is listed,
looked up or read is what the service says now. Each call is bounded in time, and tried again where that may help and
does no harm; ``docs/adr/0047`` says when.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of an object that was written, from the answer alone.

    Attributes:
        key: below the opened prefix.
        size: in bytes.
        version: changes with each write of the key: an etag, a generation, or what the service has in place of it.
    """

    key: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Info(Written):
    """What a service says of an object without reading it.

    Attributes:
        modified: when it was written, by the clock of the service.
    """

    modified: datetime


@dataclass(frozen=True, slots=True)
class Level:
    """What lies right below a prefix.

    Attributes:
        folders: names, without ``/``, that keys go on after.
        objects: what has no further ``/`` in its key.
    """

    folders: tuple[str, ...]
    objects: tuple[Info, ...]


@dataclass(frozen=True, slots=True)
class Only:
    """A condition for a write.

    Attributes:
        version: the object must have this version; None: there must be no object.
    """

    version: str | None = None


NEW = Only()
"""Write only where there is nothing: create-only."""

Power = Literal["create", "swap", "ranges", "checksums", "replace"]
"""``create``: a write only where there is nothing, in one step. ``swap``: a write only over a known version.
``ranges``: parts are read without the rest. ``checksums``: the service refuses what arrives damaged. ``replace``: who
reads while an object is written over gets the old or the new one."""


class Unmet(Exception):
    """The condition of a write is not met: there is an object, or it has another version. Nothing was written."""


class Objects(Protocol):
    """An object service, opened at a prefix. Threads share it.

    All calls may raise StoreError (or LockedError, DiskFullError where they say what happened better), in one line that
    names the key and never holds a secret.
    """

    @property
    def url(self) -> str:
        """What opens it again, without credentials."""

    @property
    def powers(self) -> frozenset[Power]:
        """What the service can do, as far as is known of its kind; ``probing`` tries it."""

    def look(self, key: str) -> Info | None:
        """Return what is known of an object, or None: there is none."""

    def level(self, prefix: str) -> Level:
        """Return what lies right below a prefix (``""`` or one that ends in ``/``), in the order of the keys.

        Some services keep a folder for a while after the last of its keys was removed.
        """

    def below(self, prefix: str) -> Iterator[Info]:
        """Yield all objects whose keys begin with a prefix, as the service lists them: those of a folder together."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        """Return bytes of an object from a place on, at most ``length``, and what it is; raises FileNotFoundError."""

    def open(self, key: str) -> BinaryIO:
        """Return an unbuffered stream from the start, which holds 32 MiB at most; raises FileNotFoundError."""

    def write(self, key: str, data: bytes, only: Only | None = None) -> Written:
        """Write a small object, all of it or nothing; S3 and Azure answer less than a look at it would tell.

        Args:
            key: of the object.
            data: its content.
            only: the condition; None: over whatever is there.

        Raises:
            Unmet: the condition is not met.
        """

    def upload(self, key: str, path: Path) -> Written:
        """Write a file of any size, in parts where it is large.

        Each request is checked by its checksum, where the service does that. Where the answer is an ``Info``, the
        object was looked at after it was written; else whoever names it looks. What was begun and not finished is
        taken back, as far as that can be done.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects, many at a time; those that are not there are no error."""

    def delete_only(self, key: str, version: str) -> None:
        """Remove an object that has this version; raises Unmet. Where the service cannot, it looks just before."""

    def copy(self, source: str, target: str) -> Info:
        """Copy an object within the service; raises FileNotFoundError."""

    def unfinished(self, prefix: str, older: float) -> list[str]:
        """Return names of uploads in parts below a prefix, begun over ``older`` seconds ago and never finished."""

    def abort(self, upload: str) -> None:
        """Take back an unfinished upload; gone already is no error."""
