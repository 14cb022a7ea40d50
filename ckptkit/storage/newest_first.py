"""The contract of a store that gives the newest checkpoints first, and looks at none before its turn.

Who wants the newest that is good seldom asks for a second one, however many there are.
"""

from collections.abc import Iterable, Iterator
from itertools import count, groupby
from operator import attrgetter
from typing import Protocol, runtime_checkable

from ckptkit.storage.interface import Entry, Storage


@runtime_checkable
class SupportsNewestFirst(Protocol):
    """A ``Storage`` that can; of any other, all checkpoints are looked at."""

    def newest_first(self, run: str | None = None) -> Iterator[tuple[str, Iterator[Entry]]]:
        """Yield the run, or each run that may be read, with the checkpoints that ``scan`` would yield, the last first.

        What lies in a folder that is named as a checkpoint, which the name of no run can be, may be left out.
        """


class LastFirst(Iterable[Entry]):
    """Checkpoints that are asked for once, when they are needed, and can be gone through again."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._seen: list[Entry] = []
        self._rest = entries

    def __iter__(self) -> Iterator[Entry]:
        for place in count():
            if place == len(self._seen):
                if (entry := next(self._rest, None)) is None:
                    return
                self._seen.append(entry)
            yield self._seen[place]


def newest_first(storage: Storage, run: str | None = None) -> Iterator[tuple[str, LastFirst]]:
    """Yield the same of any store; raises as ``Storage.scan``."""
    if isinstance(storage, SupportsNewestFirst):
        for of, entries in storage.newest_first(run):
            yield of, LastFirst(entries)
    else:
        for of, group in groupby(storage.scan(run, skip_unreadable=run is None), attrgetter("run")):
            yield of, LastFirst(reversed(list(group)))


def newest_of(storage: Storage, run: str) -> LastFirst:
    """Return the checkpoints of one run; raises as ``Storage.scan``."""
    return next((entries for _, entries in newest_first(storage, run)), LastFirst(iter(())))
