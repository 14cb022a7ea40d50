"""Two stores as one: what is resumed from may be in either of them, and of the same step the nearer one's is taken."""

import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, cast

from ckptkit.errors import CkptkitError, ConflictError, StoreError
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry, Storage
from ckptkit.store.arriving import Arrival, Arrivals
from ckptkit.verification import CheckpointReport, Level, Verifier

LOG = logging.getLogger("ckptkit")


def as_one(near: Storage, far: Storage) -> Storage:
    """Return what reads as one store whose checkpoints are in one of two; each entry says in which one it is.

    A far one that cannot be reached is left out where the near one has something, and a warning says so; else what it
    failed with is raised: nobody may take a run for a new one because a network is down.
    """
    # Who chooses asks for no more than the methods below, and what is of the near one in any case.
    return cast("Storage", _Tiers(near, far))


_OF_THE_NEAR = ("adopted_from", "removed", "run_folder", "url", "user")


@dataclass(frozen=True)
class _Tiers:
    near: Storage
    far: Storage
    _told: set[str] = field(default_factory=set)

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_THE_NEAR:  # a power of the near one would leave out the far one
            raise AttributeError(name)
        return getattr(self.near, name)

    def has_run(self, run: str) -> bool:
        """See ``Storage.has_run``."""
        return self.near.has_run(run) or self.far.has_run(run)

    def owner(self, entry: Entry) -> Hashable | None:
        """See ``Storage.owner``."""
        return entry.storage.owner(entry)

    def scan(self, run: str | None = None, **how: Any) -> Iterator[Entry]:
        """See ``Storage.scan``; of each step the near one's is the last."""
        near = _by_run(self.near, run, **how)
        try:
            found = _by_run(self.far, run, **how)
        except CkptkitError as error:
            if not near:
                raise
            if error.message not in self._told:
                self._told.add(error.message)
                LOG.warning("%s: only what is here is looked at: %s", self.far.url, error.message)
            found = {}
        for name in sorted({*near, *found}):
            both = [*found.get(name, ()), *near.get(name, ())]
            yield from sorted(both, key=lambda at: -1 if at.step is None else at.step)

    def newest_first(self, run: str | None = None) -> Iterator[tuple[str, Iterator[Entry]]]:
        """See ``SupportsNewestFirst.newest_first``."""
        for of, group in groupby(self.scan(run, skip_unreadable=run is None), attrgetter("run")):
            yield of, reversed(list(group))


def _by_run(storage: Storage, run: str | None, **how: Any) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for at in listed(storage, run, **how):
        found.setdefault(at.run, []).append(at)
    return found


def listed(storage: Storage, run: str | None, **how: Any) -> Iterator[Entry]:
    """Yield what a store lists; nothing where it does not exist yet."""
    if _is_there(storage):
        yield from storage.scan(run, **how)


def _is_there(storage: Storage) -> bool:
    """Return whether a store exists: the first save creates it."""
    try:
        storage.require()
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    return True


class ByTier(Verifier):
    """Lets another verifier judge; what it finds in the far store is no matter of the near one's ledger.

    Args:
        verifier: the other one.
        near: the store that its ledger is of.
    """

    def __init__(self, verifier: Verifier, near: Storage) -> None:
        super().__init__(verifier.level)
        self._verifier, self._near = verifier, near

    def verify(self, at: Entry) -> CheckpointReport:
        """Return what is wrong with one checkpoint; see ``Verifier.verify``."""
        ledger = self._verifier.ledger
        try:
            if at.storage is not self._near:
                self._verifier.ledger = None
            return self._verifier.verify(at)
        finally:
            self._verifier.ledger = ledger


class Bringing(Verifier):
    """Copies what it verifies into the near store, unless it is there: each byte of the far one is read once.

    Args:
        arrivals: of the near store.
        level: how far to verify.
        told: called with what became of each that was not there.
        how: as of ``Verifier``.
    """

    def __init__(
        self, arrivals: Arrivals, level: Level, *, told: Callable[[Arrival], None] = lambda one: None, **how: Any
    ) -> None:
        super().__init__(level, **how)
        self._arrivals, self._tell = arrivals, told

    def verify(self, at: Entry) -> CheckpointReport:
        """Return what is wrong with one checkpoint; of one that verifies, where it is now."""
        if at.storage is self._arrivals.storage:
            return super().verify(at)
        one = self._arrivals.bring(at)
        if one.outcome != "there":
            self._tell(one)
        if one.outcome == "conflict":
            hint = f"name the other one by its store: --store {quote_word(at.storage.url)}"
            raise ConflictError(f"{at.ref}: cannot be copied from {at.storage.url}: {one.reason}", hint=hint)
        if one.report is not None and any(problem.code == "file-unreadable" for problem in one.report.problems):
            # It may be good: nobody is to go back behind it because a network fails.
            hint = f"try again; `{at.run}@STEP` names one that is here"
            raise StoreError(f"{at.ref}: cannot be copied from {at.storage.url}: {one.reason}", hint=hint)
        if one.at is None:
            return one.report or super().verify(at)
        if one.report is None or self.level == "resume":
            return super().verify(one.at)
        return self._with_signature(replace(one.report, at=one.at))
