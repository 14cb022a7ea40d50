"""Scratch space: where this process keeps temporary files, and how many bytes of copies there may be at once.

``use`` says it (``--scratch DIR[,SIZE]``), else ``CKPTKIT_SCRATCH``, else what ``otherwise`` was given
(``ckptkit.yaml``); else it is ``TMPDIR``, with all the room that is there.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ckptkit.durable import human, require_space
from ckptkit.errors import DiskFullError, UsageError

VARIABLE = "CKPTKIT_SCRATCH"
_HINT = "--scratch DIR,SIZE gives more room, here or on another disk"


@dataclass(frozen=True, slots=True)
class ScratchSpace:
    """Where, and how much.

    Attributes:
        folder: None: ``TMPDIR``.
        size: bytes of copies at once; None: as many as fit.
    """

    folder: Path | None = None
    size: int | None = None

    @property
    def place(self) -> Path:
        """The folder."""
        return self.folder or Path(tempfile.gettempdir())


def parse(text: str, of: str) -> ScratchSpace:
    """Return the space that ``DIR`` or ``DIR,SIZE`` names; ``of`` is where it was written.

    Raises:
        UsageError: there is no such folder, or it cannot be written to, or the size is none.
    """
    from ckptkit.retention.quantities import parse_size

    folder, comma, size = text.rpartition(",")
    path = Path(folder if comma else text).expanduser().absolute()
    if comma and Path(text).is_dir():
        path, comma = Path(text).absolute(), ""
    if not text or not path.is_dir():
        raise UsageError(f"{of}: {path if text else 'is empty'}: is no folder", hint="make it, or write DIR,SIZE")
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"{of}: {path}: cannot be written to", hint="name a folder that can")
    return ScratchSpace(path, parse_size(size) if comma else None)


class _Room:
    """What this process has taken of its space."""

    def __init__(self) -> None:
        self.used: ScratchSpace | None = None
        self.otherwise: Callable[[], ScratchSpace | None] = lambda: None
        self._taken: dict[object, tuple[int, int | None]] = {}  # by token: bytes, thread; None: nobody knows until when
        self._changed = threading.Condition()

    def space(self) -> ScratchSpace:
        if self.used is None:
            said = os.environ.get(VARIABLE)
            self.used = (parse(said, VARIABLE) if said else self.otherwise()) or ScratchSpace()
        return self.used

    def take(self, needed: int, *, kept: bool = False) -> object:
        """Take so many bytes, once others of other threads are through; raises DiskFullError."""
        space, token = self.space(), object()
        me = threading.get_ident()
        require_space(space.place, needed)
        with self._changed:
            while space.size is not None and needed and needed + self._in_use() > space.size:
                threads = {thread for _, thread in self._taken.values() if thread is not None}
                if needed > space.size or me in threads or not threads:
                    told = f"{space.place}: a copy takes {human(needed)}, and scratch space is {human(space.size)}"
                    used = "" if needed > space.size else f", of which {human(self._in_use())} are in use"
                    raise DiskFullError(told + used, hint=_HINT)
                self._changed.wait()
            self._taken[token] = needed, None if kept else me
        return token

    def _in_use(self) -> int:
        return sum(size for size, _ in self._taken.values())

    def give_back(self, token: object) -> None:
        with self._changed:
            self._taken.pop(token, None)
            self._changed.notify_all()


_ROOM = _Room()


def use(space: ScratchSpace | None) -> None:
    """Use this space from now on; None: whatever the environment or the configuration says."""
    _ROOM.used = space


def otherwise(said: Callable[[], ScratchSpace | None]) -> None:
    """Say who is asked where nothing else says it, and once it is needed."""
    _ROOM.used, _ROOM.otherwise = None, said


def place() -> Path:
    """Return the folder."""
    return _ROOM.space().place


def require_room(needed: int) -> None:
    """Raise DiskFullError unless so many bytes fit, if there was nothing else."""
    _ROOM.give_back(_ROOM.take(needed))


@contextmanager
def taken(needed: int, *, kept: bool = False) -> Iterator[Path]:
    """Take so many bytes until the end, and yield the folder; who does not fit waits for other threads.

    Args:
        needed: bytes.
        kept: whether nobody knows when that will be: so others do not wait for it.

    Raises:
        DiskFullError: they do not fit at all, or only without what is kept, or this thread has taken.
    """
    token = _ROOM.take(needed, kept=kept)
    try:
        yield place()
    finally:
        _ROOM.give_back(token)
