"""The checkpoints of a store in order, of which no more is read than is shown; content is not judged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain, groupby
from typing import Literal, get_args

from ckptkit.catalog import manifest_files
from ckptkit.catalog.index import Index
from ckptkit.catalog.ledger import Ledger
from ckptkit.catalog.refs import Refs
from ckptkit.errors import UsageError
from ckptkit.progress import Meter, Progress
from ckptkit.storage import Entry, Storage
from ckptkit.storage.remembering import KeepsIndex, RememberingStorage
from ckptkit.store.listed import Listed, Place, listed, refs_of
from ckptkit.store.summarising import Indexed, each, names_of

Sort = Literal["step", "created", "size"]
_FEW = 64  # checkpoints: so many manifests of a folder are read as fast as the index


@dataclass(frozen=True, slots=True)
class _Run:
    """Checkpoints of one run, by step, with the pins and tags of the run."""

    found: Sequence[Entry]
    refs: Refs
    refs_problem: str | None

    def places(self, tag: str | None, *, last_first: bool = False) -> Iterator[Place]:
        if tag is not None and not self.refs.tags:
            return
        for at in reversed(self.found) if last_first else self.found:
            place = Place(at, self.refs, self.refs_problem)
            if tag is None or tag in place.tags:
                yield place


@dataclass(frozen=True)
class Listing:
    """Checkpoints of runs, or of the whole store; to be iterated over, by run and step unless ``sort`` says otherwise.

    Attributes:
        storage: the store.
        run: only this run, or only these.
        ledger: says which of them were verified.
        tag: only those with this tag.
        limit: only the last so many.
        sort: ``step``, ``created`` or ``size``.
        since: only those that were saved then or later, and those of which nobody knows.
        within: only these, whatever ``run`` says.
        index: what is known from listings before; None: nothing is, and nothing is kept.
        on_progress: told how far it is, in bytes of manifests.
    """

    storage: Storage
    run: str | Sequence[str] | None = None
    ledger: Ledger | None = None
    tag: str | None = None
    limit: int | None = None
    sort: Sort = "step"
    since: datetime | None = None
    within: Sequence[Entry] | None = None
    index: Index | None = None
    on_progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a sort order or a limit that there is not."""
        if self.sort not in get_args(Sort):
            raise UsageError(f"sort {self.sort!r} is not known", hint=f"use {', '.join(get_args(Sort))}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit} shows nothing", hint="give a number from 1, or none")

    @cached_property
    def _names(self) -> RememberingStorage | None:
        return names_of(self.storage, self.index)

    @cached_property
    def _runs(self) -> Sequence[_Run]:
        return [_Run(found, *refs_of(self.storage, run)) for run, found in self._found()]

    def _found(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        if self.within is not None:
            in_order = sorted(self.within, key=lambda at: (at.run, -1 if at.step is None else at.step, at.name))
            yield from _by_run(in_order)
        elif self.run is not None:
            for run in [self.run] if isinstance(self.run, str) else sorted(set(self.run)):
                yield from _by_run(self.storage.scan(run)) if self._names is None else self._names.runs(run)
        elif self._names is None or self.index is None:
            yield from _by_run(self.storage.scan())
        else:
            seen = set()
            for run, found in self._names.runs():
                seen.add(run)
                yield run, found
            self.index.forget(set(self.index.runs) - seen)

    @property
    def runs(self) -> Sequence[str]:
        """The runs that have any of these, whatever their tags, and however many there may be."""
        return [run.found[0].run for run in self._runs]

    @property
    def refs_problems(self) -> Sequence[str]:
        """Why the pins and tags of runs are not known, where they are damaged; also of runs that ``limit`` left out."""
        return list(dict.fromkeys(run.refs_problem for run in self._runs if run.refs_problem is not None))

    def __iter__(self) -> Iterator[Listed]:
        """Yield them; one that was removed since it was found is left out."""
        try:
            yield from self._in_order()
        finally:
            if self.index is not None:
                self.index.flush()

    def _in_order(self) -> Iterator[Listed]:
        if self.sort == "step" and self.since is None:
            # Of those that the limit leaves out nothing is read.
            yield from self._listed(self._places() if self.limit is None else self._last(self.limit))
            return
        found = [one for one in self._listed(self._places()) if self.since is None or _is_since(one, self.since)]
        if self.sort == "created":
            found.sort(key=lambda one: one.summary.created_at if one.summary else "")
        elif self.sort == "size":
            found.sort(key=lambda one: one.summary.size if one.summary else 0)
        yield from found if self.limit is None else found[-self.limit :]

    def _places(self) -> Iterator[Place]:
        return chain.from_iterable(run.places(self.tag) for run in self._runs)

    def _listed(self, places: Iterable[Place]) -> Iterator[Listed]:
        names, index = self._names, self.index
        if names is None or index is None:
            return listed(places, self.ledger)
        several = sum(len(run.found) for run in self._runs)
        if self.limit is not None and self.sort == "step" and self.since is None:
            several = min(several, self.limit)
        few = several < _FEW and not isinstance(names, KeepsIndex)
        read = each if few else Indexed(index, names, Meter("list", on_progress=self.on_progress))
        return listed(places, self.ledger, read, names.is_still_one)

    def _last(self, count: int) -> Sequence[Place]:
        """Return the last so many that are still there."""
        there: list[Place] = []
        for place in chain.from_iterable(run.places(self.tag, last_first=True) for run in reversed(self._runs)):
            if self._is_there(place.at):
                there.append(place)
                if len(there) == count:
                    break
        return there[::-1]

    def _is_there(self, at: Entry) -> bool:
        if at.identity is None:
            return False
        return self._names is None or not manifest_files.is_missing(at) or self._names.is_still_one(at)


def _by_run(found: Iterable[Entry]) -> Iterator[tuple[str, Sequence[Entry]]]:
    for run, members in groupby(found, key=lambda at: at.run):
        yield run, list(members)


def _is_since(one: Listed, moment: datetime) -> bool:
    if one.summary is None:
        return True
    try:
        return datetime.fromisoformat(one.summary.created_at) >= moment
    except (ValueError, TypeError):  # not a moment, or of no time zone: the summary is not checked
        return True
