"""Choose the checkpoint to resume from: the newest (or best) one whose content verifies, and why not a newer one."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ckptkit.errors import DamagedError, NotFound, NothingResumable, UnsafeContentError, UsageError
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem
from ckptkit.storage import LocalStorage, Location
from ckptkit.store.refs import Ref
from ckptkit.verification import CheckpointReport, Verifier
from ckptkit.verification.presence import read_manifest


@dataclass(frozen=True, slots=True)
class Chosen:
    """The checkpoint to go on from, and the reports of those that would have come first but do not verify.

    ``warnings`` is what verification found in it that does not forbid to resume.
    """

    at: Location
    manifest: Manifest
    skipped: Sequence[CheckpointReport] = ()
    warnings: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """How ``RUN@best`` ranks: by which metric, and whether more or less of it is better."""

    metric: str | None = None
    mode: Literal["min", "max"] | None = None


def choose(storage: LocalStorage, ref: Ref, verifier: Verifier, ranking: Ranking | None = None) -> Chosen:
    """Return the checkpoint that the reference means, verified.

    ``RUN`` and ``RUN@latest`` fall back to the newest one that verifies, ``RUN@best`` to the best one; ``RUN@STEP``
    means just that one.

    Raises:
        NotFound: there is no such run or step.
        NothingResumable: nothing there verifies.
        DamagedError: the step that was named does not verify.
    """
    candidates = found(storage, ref)
    if ref.step is not None:
        reports = [verifier.verify(at) for at in candidates]
        for report in reports:
            if report.good and report.manifest is not None:
                return Chosen(report.at, report.manifest, warnings=report.problems)
        raise _damaged(ref, reports[0])
    ordered = reversed(candidates) if ref.word != "best" else _ranked(candidates, ref, ranking or Ranking())
    skipped: list[CheckpointReport] = []
    for at in ordered:
        report = verifier.verify(at)
        if report.good and report.manifest is not None:
            return Chosen(at, report.manifest, skipped, report.problems)
        skipped.append(report)
    reasons = "; ".join(f"{r.at.ref}: {r.reason}" for r in skipped[:3]) or "it is empty"
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    raise NothingResumable(f"{ref}: no checkpoint can be resumed from ({reasons}{more})")


def found(storage: LocalStorage, ref: Ref) -> list[Location]:
    """Return what a reference covers, in order of steps; raises NotFound if that is nothing."""
    candidates = [at for at in storage.scan(ref.run) if ref.step is None or at.step == ref.step]
    if candidates:
        return candidates
    if ref.step is not None and (steps := [at.step for at in storage.scan(ref.run)]):
        raise NotFound(f"{ref}: there is no such step in the run", hint=f"it has {_some(steps)}")
    raise NotFound(f"{ref.run}: there is no such run in {storage.root}")


def _some(steps: Sequence[int | None]) -> str:
    shown = ", ".join(str(step) for step in steps[-5:])
    return f"steps {shown}" if len(steps) <= 5 else f"{len(steps)} steps, the last ones {shown}"


def _damaged(ref: Ref, report: CheckpointReport) -> DamagedError | UnsafeContentError:
    if any(p.severity == "unsafe" for p in report.problems):
        return UnsafeContentError(f"{ref}: {report.reason}")
    return DamagedError(
        f"{ref}: {report.reason}", hint=f"`ckptkit resume-cmd {ref.run}` falls back to one that verifies"
    )


def _ranked(candidates: Sequence[Location], ref: Ref, ranking: Ranking) -> Iterator[Location]:
    manifests = [(at, manifest) for at in candidates if (manifest := read_manifest(at)[0]) is not None]
    metric = ranking.metric or _only_metric(ref, [m for _, m in manifests])
    if ranking.mode is None:
        raise UsageError(
            f"{ref}: is more or less of {metric!r} better?",
            hint="add --mode min|max, or give the run's retention a metric and mode in ckptkit.yaml",
        )
    sign = -1 if ranking.mode == "min" else 1
    rank: Callable[[tuple[Location, Manifest]], tuple[float, int]] = lambda pair: (  # noqa: E731 - a key, typed
        sign * pair[1].metrics[metric],
        pair[1].step,
    )
    scored = [(at, m) for at, m in manifests if math.isfinite(m.metrics.get(metric, math.nan))]
    if not scored:
        raise NothingResumable(f"{ref}: no checkpoint has a finite metric {metric!r}")
    return (at for at, _ in sorted(scored, key=rank, reverse=True))


def _only_metric(ref: Ref, manifests: Sequence[Manifest]) -> str:
    metrics = sorted({name for manifest in manifests for name in manifest.metrics})
    if len(metrics) == 1:
        return metrics[0]
    known = f"it has {', '.join(metrics)}" if metrics else "it has no metrics"
    raise UsageError(f"{ref}: best by which metric? ({known})", hint="add --metric NAME and --mode min|max")
