"""What is listed of one checkpoint: what its manifest says, its pins and tags, and what is known of its content."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ckptkit.catalog import manifest_files
from ckptkit.catalog import refs as pins_and_tags
from ckptkit.catalog import shown as evidence
from ckptkit.catalog.known import Known
from ckptkit.catalog.ledger import Ledger
from ckptkit.catalog.refs import Refs
from ckptkit.errors import CkptkitError
from ckptkit.manifest.redaction import redact_text
from ckptkit.manifest.summary import Summary
from ckptkit.renamed import warn
from ckptkit.storage import Entry, Storage, SupportsLinks
from ckptkit.storage.remembering import OwnFiles
from ckptkit.store.summarising import Said, each


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the listing: a readable checkpoint has a summary, any other the reason why not.

    ``shown`` is what has been shown about it so far, or None for nothing. ``refs_problem`` says why the pins and tags
    of its run are not known, where they are damaged: then ``pinned`` and ``tags`` say nothing. ``known`` is what the
    last verification found, if no file was changed since. ``signed_by`` are the fingerprints of the keys that it says
    to be signed by: nobody has checked that.
    """

    at: Entry
    summary: Summary | None
    problem: str | None
    pinned: bool
    tags: tuple[str, ...]
    shown: evidence.Shown | None = None
    refs_problem: str | None = None
    known: Known | None = None
    signed_by: tuple[str, ...] = ()

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
    def own_size(self) -> int | None:
        """Bytes that only this checkpoint has, and that its removal frees; None where its manifest cannot be read."""
        if self.summary is None or not self.summary.shares or not isinstance(self.at.storage, SupportsLinks):
            return None if self.summary is None else self.summary.size
        return self.at.storage.frees([self.at])

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


def places(found: Iterable[Entry]) -> Iterator[Place]:
    """Yield where checkpoints are, with their pins and tags."""
    known: dict[str, tuple[Refs, str | None]] = {}
    for at in found:
        if at.run not in known:
            known[at.run] = refs_of(at.storage, at.run)
        yield Place(at, *known[at.run])


def place_of(at: Entry) -> Place:
    """Return one place, with its pins and tags."""
    return Place(at, *refs_of(at.storage, at.run))


def listed(
    found: Iterable[Place],
    ledger: Ledger | None = None,
    read: Callable[[Sequence[Entry]], Iterable[Said]] = each,
    is_still_one: Callable[[Entry], bool] | None = None,
) -> Iterator[Listed]:
    """Yield what is to be listed of each place; one that was removed since it was found is left out.

    Args:
        found: where they are, by run.
        ledger: says which of them were verified.
        read: yields what the manifests of some checkpoints of one run say.
        is_still_one: asks whether one without a manifest is to be listed, where it was not looked at when it was found.
    """
    for run, members in groupby(found, key=lambda place: place.at.run):
        here = list(members)
        known = {} if ledger is None else ledger.of_run(run, {place.at.name for place in here})
        for place, (said, own) in zip(here, read([place.at for place in here]), strict=True):
            at = place.at
            if not isinstance(said, CkptkitError):
                yield _readable(place, said, own, known.get(at.name))
            elif at.identity is not None and (is_still_one is None or is_still_one(at)):
                yield Listed(at, None, said.message, place.pinned, place.tags, refs_problem=place.refs_problem)


def _readable(place: Place, summary: Summary, own: OwnFiles, known: Known | None) -> Listed:
    at = place.at
    problem = None if summary.step == at.step else f"manifest says step {summary.step}"
    shown = evidence.most(evidence.read(at, summary.digest)) if own.shown else None
    same = None if known is None else _unchanged(at, known)
    return Listed(
        at,
        summary,
        problem,
        place.pinned,
        place.tags,
        shown,
        place.refs_problem,
        same,
        signed_by(at) if own.signed else (),
    )


def signed_by(at: Entry) -> tuple[str, ...]:
    """Return the fingerprints of the keys that a checkpoint says to be signed by, unchecked."""
    try:
        at.storage.stat(at, at.signatures_file)
    except (OSError, CkptkitError):
        return ()
    from ckptkit.catalog import signatures  # of few checkpoints, and it reads whole manifests too

    return tuple(signatures.claimed(at))


def _unchanged(at: Entry, known: Known) -> Known | None:
    now = at.storage.stamps(at, known.stamps)
    if now is None:
        return None
    return known if known.changed(now) <= {at.observed_file} else None


def refs_of(storage: Storage, run: str) -> tuple[Refs, str | None]:
    """Return the pins and tags of a run, or none and why: one damaged file must not hide what is in the store."""
    try:
        return pins_and_tags.read(storage, run), None
    except CkptkitError as error:
        return Refs(), error.message
