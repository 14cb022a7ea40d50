"""Choose the checkpoint to resume from: the newest (or best) one whose content verifies, and why not a newer one."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Literal

from ckptkit.catalog import manifest_files, manifests
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import (
    CkptkitError,
    DamagedError,
    NotFoundError,
    NothingResumableError,
    UnsafeContentError,
    UsageError,
)
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.resume.quoting import quote_word
from ckptkit.storage import Entry, Storage
from ckptkit.storage.newest_first import newest_of
from ckptkit.store import missing, nearest_run, without_manifest
from ckptkit.store.lineage import Search, require_judged
from ckptkit.store.reference import Ref
from ckptkit.verification import CheckpointReport, Verifier


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint to resume from.

    Attributes:
        at: the checkpoint.
        manifest: its manifest.
        skipped: reports of those that would have come first but do not verify.
        warnings: what verification found in it that does not prevent resuming.
        followed: one line for each run that was followed to the run that continued it.
        unlisted: newer ones of its run that a trainer wrote, and that have no manifest yet: where each lies. Nobody has
            judged them.
    """

    at: Entry
    manifest: Manifest
    skipped: Sequence[CheckpointReport] = ()
    warnings: Sequence[Problem] = ()
    followed: Sequence[str] = ()
    unlisted: Sequence[Path] = ()

    def fetched(self) -> Path:
        """Return a folder with all its files: its own, or a copy where some are stored in parts.

        A copy stays as long as the store's object.

        Raises:
            StoreError: there is no room for a copy.
        """
        paths = [file.path for item in self.manifest.items.values() for file in item.files]
        with self.at.storage.fetch(self.at, paths, keep=True) as folder:
            return folder


@dataclass(frozen=True, slots=True)
class Ranking:
    """How ``RUN@best`` ranks: by which metric, and whether more or less of it is better."""

    metric: str | None = None
    mode: Literal["min", "max"] | None = None


def size_of_newest(storage: Storage, ref: Ref) -> int | None:
    """Return how many bytes there are to verify where the newest is good; None where nobody can tell before."""
    try:
        if ref.word == "best":
            return None
        one = found(storage, ref)[-1] if ref.word is None and not ref.whole else next(iter(newest_of(storage, ref.run)))
        return manifest_files.size(one)
    except (CkptkitError, StopIteration):
        return None  # what is wrong is told by who chooses


def choose(
    storage: Storage, ref: Ref, verifier: Verifier, ranking: Ranking | None = None, *, exact_run: bool = False
) -> Chosen:
    """Return the checkpoint that the reference means, verified.

    ``RUN`` and ``RUN@latest`` mean the newest one that verifies, of the run or, unless ``exact_run``, of the run that
    continued it; ``RUN@best`` means the best one of the run itself, ``RUN@STEP`` only that one.

    Raises:
        NotFoundError: there is no such run or step.
        NothingResumableError: nothing there verifies.
        DamagedError: the step that was named does not verify.
        BackendUnavailableError: the first choice cannot be judged here. It is not damaged, so nothing falls back from
            it.
    """
    if ref.word is None and not ref.whole:
        reports = []
        by_store = [list(group) for _, group in groupby(found(storage, ref), lambda at: id(at.storage))]
        for at in chain.from_iterable(reversed(by_store)):  # where there are two stores, the nearer one's are the last
            reports.append(report := verifier.verify(at))
            if report.good and report.manifest is not None:
                return Chosen(report.at, report.manifest, tuple(reports[:-1]), report.problems)
        if all(report.gone for report in reports):
            raise NotFoundError(f"{ref}: was removed meanwhile")
        raise _damaged(ref, reports[0])
    if ref.word == "best":
        return _best(ref, _ranked(found(storage, ref), ref, ranking or Ranking()), verifier)
    candidates = newest_of(storage, ref.run)
    if not any(True for _ in candidates):
        found(storage, ref)  # says what is wrong
    search = Search(storage, verifier, ref.run, {ref.run: candidates}, follow=not exact_run)
    reached = search.newest()
    if reached is None:
        raise _nothing(ref, search.bad, without_manifest.of(storage, ref.run))
    skipped = [r for r in search.bad if r.at.step is not None and r.at.step >= reached.manifest.step]
    at = reached.report.at
    newer = without_manifest.of(storage, at.run, newer_than=at)
    return Chosen(at, reached.manifest, skipped, reached.report.problems, reached.followed, newer)


def best(storage: Storage, ref: Ref, ledger: Ledger, ranking: Ranking | None = None) -> Entry:
    """Return what ``RUN@best`` means; raises as ``choose``."""
    return choose(storage, ref, Verifier(ledger=ledger), ranking).at


def _best(ref: Ref, ordered: Iterator[Entry], verifier: Verifier) -> Chosen:
    skipped: list[CheckpointReport] = []
    for at in ordered:
        report = verifier.verify(at)
        if report.good and report.manifest is not None:
            return Chosen(report.at, report.manifest, skipped, report.problems)
        require_judged(report)
        skipped.append(report)
    raise _nothing(ref, skipped)


def _nothing(ref: Ref, skipped: Sequence[CheckpointReport], unlisted: Sequence[Path] = ()) -> NothingResumableError:
    reasons = "; ".join(f"{r.at.ref}: {r.reason}" for r in skipped[:3]) or "it is empty"
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    hint = f"{without_manifest.told(unlisted)}: no manifest yet, `ckptkit adopt PATH` judges it" if unlisted else None
    if any(report.unsigned for report in skipped):
        hint = _who_signed(str(ref))
    return NothingResumableError(f"{ref}: no checkpoint can be resumed from ({reasons}{more})", hint=hint)


def exists(storage: Storage, ref: Ref) -> bool:
    """Return whether there is any checkpoint of the run, or of the step that is named."""
    if not storage.has_run(ref.run):
        return False
    return any(map(ref.covers, storage.scan(ref.run)))


def found(storage: Storage, ref: Ref) -> list[Entry]:
    """Return what a reference covers, in order of steps; raises NotFoundError if that is nothing."""
    there = list(storage.scan(ref.run))
    candidates = [] if ref.removed else list(filter(ref.covers, there))
    if candidates:
        return candidates
    if (removed := missing.removed(storage, ref)) is not None:
        raise removed
    if there and not ref.whole:
        what = f"{ref}: there is no such step in the run" if ref.name is None else f"{ref.run}: holds no {ref.name}"
        raise NotFoundError(what, hint=f"it has {some([at.step for at in there])}")
    raise NotFoundError(f"{ref.run}: there is no such run in {storage.url}", hint=nearest_run.hint(storage, ref.run))


def some(steps: Sequence[int | None]) -> str:
    """Return steps for a message, the last five of many."""
    shown = ", ".join(str(step) for step in steps[-5:])
    return f"steps {shown}" if len(steps) <= 5 else f"{len(steps)} steps, the last ones {shown}"


def _damaged(ref: Ref, report: CheckpointReport) -> CkptkitError:
    require_judged(report)
    if any(p.severity == "unsafe" for p in report.problems):
        hint = _who_signed(str(ref)) if report.unsigned else None
        return UnsafeContentError(f"{ref}: {report.reason}", hint=hint)
    return DamagedError(
        f"{ref}: {report.reason}", hint=f"`ckptkit resume-cmd {quote_word(ref.run)}` falls back to one that verifies"
    )


def _who_signed(ref: str) -> str:
    return f"`ckptkit verify {quote_word(ref)} --require-signature FILE` says who signed what"


def _ranked(candidates: Sequence[Entry], ref: Ref, ranking: Ranking) -> Iterator[Entry]:
    from ckptkit.store import best_by  # only `@best` needs it, and the rules of retention with it

    readable = [(at, manifest) for at in candidates if (manifest := manifests.read(at)[0]) is not None]
    metric, mode = ranking.metric, ranking.mode
    own = best_by.said(m for _, m in reversed(readable)) if None in (metric, mode) else None
    if own is not None and metric in (None, own[0]):
        metric, mode = own[0], mode or own[1]
    metric = metric or _only_metric(ref, [m for _, m in readable])
    if mode is None:
        raise UsageError(
            f"{ref}: is a higher or a lower {metric!r} better?",
            hint="add --mode min|max, or give the run's retention a metric and mode in ckptkit.yaml",
        )
    sign = -1 if mode == "min" else 1

    def rank(pair: tuple[Entry, Manifest]) -> tuple[float, int]:
        return sign * pair[1].metrics[metric], pair[1].step

    scored = [(at, m) for at, m in readable if math.isfinite(m.metrics.get(metric, math.nan))]
    if not scored:
        known = _known(m for _, m in readable)
        raise NothingResumableError(f"{ref}: no checkpoint has a finite metric {metric!r} ({known})")
    return (at for at, _ in sorted(scored, key=rank, reverse=True))


def _only_metric(ref: Ref, manifests: Sequence[Manifest]) -> str:
    metrics = {name for manifest in manifests for name in manifest.metrics}
    if len(metrics) == 1:
        return metrics.pop()
    raise UsageError(f"{ref}: best by which metric? ({_known(manifests)})", hint="add --metric NAME and --mode min|max")


def _known(manifests: Iterable[Manifest]) -> str:
    metrics = sorted({name for manifest in manifests for name in manifest.metrics})
    return f"it has {', '.join(metrics)}" if metrics else "it has no metrics"
