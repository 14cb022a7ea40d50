"""What `list` shows of each checkpoint, read fast and without judging content."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Literal, get_args

from ckptkit.catalog import manifest_files
from ckptkit.catalog import refs as pins_and_tags
from ckptkit.catalog import shown as evidence
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.catalog.refs import Refs
from ckptkit.errors import CkptkitError, UsageError
from ckptkit.manifest.redaction import redact_text
from ckptkit.manifest.summary import Summary
from ckptkit.renamed import warn
from ckptkit.storage import Entry, Storage

Sort = Literal["step", "created", "size"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the listing: a readable checkpoint has a summary, any other the reason why not.

    ``shown`` is what has been shown about it so far, or None for nothing. ``refs_problem`` says why the pins and tags
    of its run are not known, where they are damaged: then ``pinned`` and ``tags`` say nothing. ``known`` is what the
    last verification found, if no file was changed since.
    """

    at: Entry
    summary: Summary | None
    problem: str | None
    pinned: bool
    tags: tuple[str, ...]
    shown: evidence.Shown | None = None
    refs_problem: str | None = None
    known: Known | None = None

    @property
    def state(self) -> Literal["listed", "unreadable", "incomplete"]:
        """Whether its manifest was read, cannot be read, or is not there."""
        if self.problem is None:
            return "listed"
        return "unreadable" if self.summary is not None or not manifest_files.is_missing(self.at) else "incomplete"

    @property
    def content(self) -> Literal["verified", "unverified", "damaged"]:
        """What the last verification found, if no file was changed since; that all files are there is not enough."""
        if self.known is None or (self.known.good and self.known.level == "presence"):
            return "unverified"
        return "verified" if self.known.good else "damaged"

    @property
    def marks_problem(self) -> str | None:
        """The old name of ``refs_problem``, for one more version."""
        warn("Listed.marks_problem", "Listed.refs_problem")
        return self.refs_problem


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint is, with its pins and tags; nothing of it is read."""

    at: Entry
    refs: Refs
    refs_problem: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether it is pinned."""
        return self.at.step in self.refs.pins

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags in order, for showing."""
        return tuple(sorted(map(redact_text, self.refs.tags.get(self.at.step or 0, ()))))


@dataclass(frozen=True)
class Listing:
    """Checkpoints of a run, or of the whole store; to be iterated over, by run and step unless ``sort`` says otherwise.

    Attributes:
        storage: the store.
        run: only this run.
        ledger: says which of them were verified.
        tag: only those with this tag.
        limit: only the last so many.
        sort: ``step``, ``created`` or ``size``.
        since: only those that were saved then or later, and those of which nobody knows.
        within: only these, whatever ``run`` says.
    """

    storage: Storage
    run: str | None = None
    ledger: Ledger | None = None
    tag: str | None = None
    limit: int | None = None
    sort: Sort = "step"
    since: datetime | None = None
    within: Sequence[Entry] | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a sort order or a limit that there is not."""
        if self.sort not in get_args(Sort):
            raise UsageError(f"sort {self.sort!r} is not known", hint=f"use {', '.join(get_args(Sort))}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit {self.limit} shows nothing", hint="give a number from 1, or none")

    @cached_property
    def _places(self) -> Sequence[Place]:
        if self.within is None:
            return list(places(self.storage.scan(self.run)))
        in_order = sorted(self.within, key=lambda at: (at.run, -1 if at.step is None else at.step, at.name))
        return list(places(in_order))

    @property
    def refs_problems(self) -> Sequence[str]:
        """Why the pins and tags of runs are not known, where they are damaged; also of runs that ``limit`` left out."""
        return list(dict.fromkeys(place.refs_problem for place in self._places if place.refs_problem is not None))

    def __iter__(self) -> Iterator[Listed]:
        """Yield them; one that was removed since it was found is left out."""
        found: Sequence[Place] = [place for place in self._places if self.tag is None or self.tag in place.tags]
        if self.sort == "step" and self.since is None:
            # Of those that the limit leaves out nothing is read.
            yield from listed(found if self.limit is None else last(found, self.limit), self.ledger)
            return
        in_order = [one for one in listed(found, self.ledger) if self.since is None or _is_since(one, self.since)]
        if self.sort == "created":
            in_order.sort(key=lambda one: one.summary.created_at if one.summary else "")
        elif self.sort == "size":
            in_order.sort(key=lambda one: one.summary.size if one.summary else 0)
        yield from in_order if self.limit is None else in_order[-self.limit :]


def _is_since(one: Listed, moment: datetime) -> bool:
    if one.summary is None:
        return True
    try:
        return datetime.fromisoformat(one.summary.created_at) >= moment
    except (ValueError, TypeError):  # not a moment, or of no time zone: the summary is not checked
        return True


def places(found: Iterable[Entry]) -> Iterator[Place]:
    """Yield where checkpoints are, with their pins and tags."""
    known: dict[str, tuple[Refs, str | None]] = {}
    for at in found:
        if at.run not in known:
            known[at.run] = _refs_of(at)
        yield Place(at, *known[at.run])


def place_of(at: Entry) -> Place:
    """Return one place, with its pins and tags."""
    return Place(at, *_refs_of(at))


def listed(found: Iterable[Place], ledger: Ledger | None = None) -> Iterator[Listed]:
    """Yield what is to be listed of each place; one that was removed since it was found is left out."""
    for run, members in groupby(found, key=lambda place: place.at.run):
        here = list(members)
        known = {} if ledger is None else ledger.of_run(run, {place.at.name for place in here})
        yield from _of_run(here, known)


def _of_run(found: Iterable[Place], known: Mapping[str, Known]) -> Iterator[Listed]:
    for place in found:
        at = place.at
        try:
            summary = manifest_files.summary(at)
        except CkptkitError as error:
            if at.identity is not None:
                yield Listed(at, None, error.message, place.pinned, place.tags, refs_problem=place.refs_problem)
        else:
            problem = None if summary.step == at.step else f"manifest says step {summary.step}"
            shown = evidence.most(evidence.read(at, summary.digest))
            same = _unchanged(at, known.get(at.name))
            yield Listed(at, summary, problem, place.pinned, place.tags, shown, place.refs_problem, same)


def last(found: Sequence[Place], count: int) -> list[Place]:
    """Return the last so many that are still there."""
    there: list[Place] = []
    for place in reversed(found):
        if len(there) == count:
            break
        if place.at.identity is not None:
            there.append(place)
    return there[::-1]


def _unchanged(at: Entry, known: Known | None) -> Known | None:
    now = None if known is None else at.storage.stamps(at, known.stamps)
    if known is None or now is None:
        return None
    return known if known.changed(now) <= {at.observed_file} else None


def _refs_of(at: Entry) -> tuple[Refs, str | None]:
    """Return the pins and tags of a run, or none and why: one damaged file must not hide what is in the store."""
    try:
        return pins_and_tags.read(at.storage, at.run), None
    except CkptkitError as error:
        return Refs(), error.message
