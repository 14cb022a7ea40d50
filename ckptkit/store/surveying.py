"""What retention must know of checkpoints: of those that are unchanged from the ledger, of the others by verifying."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from ckptkit.catalog import beside_others, manifest_files, refs, since_adopted
from ckptkit.catalog.known import Known
from ckptkit.errors import CkptkitError
from ckptkit.manifest.models import Manifest
from ckptkit.retention import Candidate
from ckptkit.storage import Entry
from ckptkit.store.pointers import Pointed
from ckptkit.verification import CheckpointReport, Verifier, trust


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One checkpoint as retention sees it.

    Attributes:
        at: where it is.
        facts: what its manifest says (``verification.trust.facts``), or nothing: it cannot be read.
        good: whether it verifies.
        judged: whether this installation can tell.
        not_judged: nothing wrong was found, but not all of it could be read, or this installation cannot look into it.
        reason: one line: why it is not good.
        payload: the files that must move one by one: see ``catalog.beside_others``.
        unlisted: one line: why no manifest says what belongs to it, or what is in it now.
        when: seconds since 1970 at which this was found.
        known: what the ledger knew of it, where that was trusted; it tells whether a file was changed since.
    """

    at: Entry
    facts: Mapping[str, Any]
    good: bool
    judged: bool = True
    not_judged: bool = False
    reason: str = ""
    payload: tuple[str, ...] = ()
    unlisted: str = ""
    when: float = field(default_factory=time.time)
    known: Known | None = None

    @property
    def digest(self) -> str | None:
        """The manifest's own digest, where it can be read."""
        return self.facts.get("digest")

    @property
    def run(self) -> str | None:
        """The run that its manifest names."""
        return self.facts.get("run")

    def candidate(self, marks: refs.Refs, pointed: Pointed, proving: Collection[tuple[str, str]]) -> Candidate:
        """Return it as a plan takes it.

        Args:
            marks: pins and tags of its run.
            pointed: what leads to which checkpoint.
            proving: run and name of each that a proof is under way from.
        """
        held = pointed.at.get(self.at, []) + ([self.unlisted] if self.unlisted else [])
        if (self.at.run, self.at.name) in proving:
            held.append("being proven: what training does next is compared with a resume from it")
        step = self.at.step or 0
        facts = self.facts
        return Candidate(
            run=self.at.run,
            step=step,
            sequence=facts.get("sequence", 0),
            created_at=datetime.fromisoformat(facts["created_at"]) if facts else datetime.fromtimestamp(0, UTC),
            size=facts.get("size", 0),
            metrics=facts.get("metrics", {}),
            tags=frozenset(marks.tags.get(step, ())),
            pinned=step in marks.pins,
            good=self.good,
            judged=self.judged,
            parents=tuple((run, step) for run, step in facts.get("parents", ())),
            held=tuple(held),
            shares=facts.get("shares", False),
            best=tuple((one.run, one.step or 0) for one in pointed.best.get(self.at, ())),
        )


def survey(places: Iterable[Entry], of_run: Callable[[str], Verifier]) -> Iterator[Surveyed]:
    """Yield what is known, or found now, of each checkpoint that is still there.

    Args:
        places: by run.
        of_run: how the checkpoints of a run are verified.
    """
    for run, members in groupby(places, key=lambda at: at.run):
        verifier = of_run(run)
        ledger = verifier.ledger
        if ledger is None:
            yield from (_found(report) for report in map(verifier.verify, members) if not report.gone)
            continue
        known = ledger.of_run(run)
        there = set()
        with ledger.together():
            for at in members:
                there.add(at.name)
                one = known.get(at.name)
                if one is not None and verifier.trusts(at, one):
                    yield _remembered(at, one)
                elif not (report := verifier.verify(at)).gone:
                    yield _found(report)
        ledger.forget(run, known.keys() - there)  # else what is known of a run would grow with its age


def _remembered(at: Entry, known: Known) -> Surveyed:
    own = (at.manifest_file, at.observed_file)
    payload = beside_others.payload_among(at, (path for path in known.stamps if path not in own))
    return Surveyed(at, known.facts, good=True, payload=tuple(payload), known=known)


def _found(report: CheckpointReport) -> Surveyed:
    at, manifest = report.at, report.manifest
    not_judged = report.not_judged or report.unread  # a disk that answers again may show that it is whole
    return Surveyed(
        at,
        {} if manifest is None else trust.facts(manifest),
        good=report.good,
        # Its backends are installed, and its manifest is not newer.
        judged=not not_judged and all(p.code != "manifest-newer" for p in report.problems),
        not_judged=not_judged,
        reason=report.reason,
        payload=tuple(beside_others.payload_of(at, manifest)),
        unlisted=_why_unlisted(report),
    )


def to_read(places: Iterable[Entry], verifier: Verifier) -> int:
    """Return how many bytes a survey of the places, by run, will read."""
    total = 0
    for run, members in groupby(places, key=lambda at: at.run):
        known = {} if verifier.ledger is None else verifier.ledger.of_run(run)
        for at in members:
            one = known.get(at.name)
            total += 0 if one is not None and verifier.trusts(at, one) else manifest_files.size(at)
    return total if verifier.level != "presence" else 0


def _why_unlisted(report: CheckpointReport) -> str:
    if report.manifest is not None:
        return "" if report.good else _rewritten(report.at, report.manifest)
    missing = any(problem.code == "manifest-missing" for problem in report.problems)
    return "no manifest lists its files" if missing else "its manifest, which lists its files, cannot be read"


def _rewritten(at: Entry, manifest: Manifest) -> str:
    listed = (file.path for item in manifest.items.values() for file in item.files)
    try:
        path = next(since_adopted.written(at, listed), None)
    except (CkptkitError, OSError):  # it is not judged, or not there any more
        return ""
    return "" if path is None else f"{path} {since_adopted.REWRITTEN}; {since_adopted.JUDGED_ANEW}"
