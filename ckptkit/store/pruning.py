"""Prune: gather what retention needs to know, and carry out a plan; deciding itself is the retention room's."""

import contextlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ckptkit.errors import CkptkitError, ConflictError, NotFoundError
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import is_flat, is_run
from ckptkit.retention import Candidate, PrunePlan, RetentionPolicy, plan
from ckptkit.storage import LocalStorage, Location, locks, refs, staging, trash
from ckptkit.store.copies import copied_into
from ckptkit.verification import CheckpointReport, Verifier
from ckptkit.verification.presence import read_manifest

DEFAULT_GRACE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PruneSurvey:
    """A plan together with where its checkpoints are and what was found in them.

    Attributes:
        plan: the decision.
        reports: verification of each checkpoint, in the order of ``plan.entries``.
        garbage: staging folders of dead saves, and trash entries, older than the grace time.
        stopped: runs that are not pruned because their pins and tags are damaged: the reasons, by name.
        copies: runs that are not pruned unless named, because they are copies in another run's folder: that run, by
            name.
    """

    plan: PrunePlan
    reports: Sequence[CheckpointReport]
    garbage: Sequence[Path]
    stopped: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was carried out: checkpoints moved to the trash, garbage purged, and what failed (one line each)."""

    removed: Sequence[Location]
    purged: Sequence[Path]
    failures: Sequence[str]


def survey(
    storage: LocalStorage,
    policies: RetentionPolicy | Mapping[str, RetentionPolicy],
    verifier: Verifier,
    *,
    run: str | None = None,
    grace: timedelta = DEFAULT_GRACE,
) -> PruneSurvey:
    """Verify the checkpoints and plan; nothing is changed.

    Args:
        storage: the store.
        policies: one for all runs, or by run.
        verifier: decides which checkpoints may fill a slot.
        run: only this run is pruned (others still protect what they were resumed from).
        grace: how old garbage must be.

    Raises:
        NotFoundError: there is nothing to prune.
        DamagedError, StoreError: the pins and tags of everything that is to be pruned cannot be read. (If it is only
        some runs, these are left whole and listed in ``stopped``.)
        RefusedError, UsageError: see ``ckptkit.retention.plan``.
    """
    wanted = None if run is None else {run}
    if isinstance(policies, Mapping):
        wanted = set(policies) if wanted is None else wanted & set(policies)
    places = [at for at in storage.scan() if at.step is not None and is_run(at.run)]  # others can be no one's
    if not any(wanted is None or at.run in wanted for at in places):
        raise NotFoundError(f"{run or storage.root}: there is no checkpoint to prune")
    known, stopped = _read_refs(storage, {at.run for at in places}, wanted)
    reports: dict[int, CheckpointReport] = {}
    candidates = []
    for at in places:
        # Runs that are not pruned are only asked what they were resumed from.
        level = verifier if wanted is None or at.run in wanted else Verifier("presence")
        report = level.verify(at)
        if report.gone:
            continue
        candidate = _candidate(at, report, known[at.run])
        reports[id(candidate)] = report
        candidates.append(candidate)
    copies = copied_into(reports.values()) if run is None else {}
    spared = {*stopped, *copies}
    runs = {c.run for c in candidates if wanted is None or c.run in wanted} - spared
    chosen = {name: policies[name] if isinstance(policies, Mapping) else policies for name in runs}
    if isinstance(policies, Mapping) and run is None:
        chosen |= {name: policies[name] for name in policies if name not in spared}  # one without checkpoints is told
    decided = plan(candidates, chosen, now=datetime.now(UTC))
    garbage = [path for name in sorted(runs) for path in _garbage(storage.state_folder(name), grace)]
    return PruneSurvey(decided, [reports[id(entry.candidate)] for entry in decided.entries], garbage, stopped, copies)


def _read_refs(
    storage: LocalStorage, runs: Collection[str], wanted: Collection[str] | None
) -> tuple[dict[str, refs.Refs], dict[str, str]]:
    """Return the pins and tags of all runs and, for runs to be pruned, why some cannot be known."""
    known, stopped = {}, {}
    failure: CkptkitError | None = None
    for run in sorted(runs):
        try:
            known[run] = refs.read(storage.state_folder(run))
        except CkptkitError as error:
            known[run] = refs.Refs()
            if wanted is None or run in wanted:
                stopped[run], failure = error.message, error
    if failure is not None and not set(runs if wanted is None else wanted) & set(runs) - set(stopped):
        raise failure
    return known, stopped


def _candidate(at: Location, report: CheckpointReport, own: refs.Refs) -> Candidate:
    step = at.step or 0
    pinned, tags = step in own.pins, frozenset(own.tags.get(step, ()))
    manifest: Manifest | None = report.manifest
    if manifest is None:
        epoch = datetime.fromtimestamp(0, UTC)
        return Candidate(at.run, step, 0, epoch, pinned=pinned, tags=tags, good=False, judged=_judged(report))
    return Candidate(
        run=at.run,
        step=step,
        sequence=manifest.sequence,
        created_at=datetime.fromisoformat(manifest.created_at),
        size=manifest.size,
        metrics=manifest.metrics,
        tags=tags,
        pinned=pinned,
        good=report.good,
        judged=_judged(report),
        parents=tuple((p.run, p.step) for p in (manifest.parent, manifest.origin) if p is not None),
    )


def _judged(report: CheckpointReport) -> bool:
    """Whether the checkpoint can be judged here: its backends are installed, its manifest is not newer."""
    return not report.not_judged and all(p.code != "manifest-newer" for p in report.problems)


def _garbage(state: Path, grace: timedelta) -> list[Path]:
    now = datetime.now(UTC)
    old = [trashed.entry for trashed in trash.listing(state) if now - trashed.removed_at > grace]
    return staging.leftovers(state, grace.total_seconds()) + old


def apply(storage: LocalStorage, surveyed: PruneSurvey, *, expected: str | None = None) -> Pruned:
    """Carry out a plan: move to the trash, purge old garbage. One that cannot be removed does not stop the rest.

    Args:
        storage: the store.
        surveyed: from ``survey``.
        expected: digest of the plan that a person has reviewed.

    Raises:
        ConflictError: the plan is not the one that was reviewed.
        LockedError: another process saves or prunes there.
    """
    if expected is not None and expected != surveyed.plan.digest:
        raise ConflictError(
            "the plan is not the one that was reviewed: the store has changed since",
            hint="run prune again without --apply and review the new plan",
        )
    removed: list[Location] = []
    purged: list[Path] = []
    failures: list[str] = []
    runs = {report.at.run for report in surveyed.reports}
    claims = Counter(path for report in surveyed.reports for path in _payload(report))
    with contextlib.ExitStack() as held:
        pins: dict[str, set[int]] = {}
        for run in sorted(runs):
            state = storage.state_folder(run)
            held.enter_context(locks.alone(state))
            try:
                pins[run] = refs.read(state).pins
            except CkptkitError as error:  # damaged since the survey
                failures.append(error.message)
            trash.finish(state, {path.name for path in claims if path.parent == state.parent})
        for entry, report in zip(surveyed.plan.entries, surveyed.reports, strict=True):
            if entry.action == "remove" and report.at.run in pins and report.at.identity is not None:
                try:
                    _require_as_planned(report, pins[report.at.run])
                    payload = _payload(report)
                    alone = [path.name for path in payload if claims[path] == 1]  # others need what they list too
                    trash.remove(report.at, storage.state_folder(report.at.run), alone)
                    claims.subtract(payload)
                    removed.append(report.at)
                except CkptkitError as error:
                    failures.append(error.message)
        for path in surveyed.garbage:
            try:
                trash.purge(path)
                purged.append(path)
            except CkptkitError as error:
                failures.append(error.message)
    return Pruned(removed, purged, failures)


def _require_as_planned(report: CheckpointReport, pins: Collection[int]) -> None:
    """Raise ConflictError when the checkpoint was pinned, or another was saved in its place, since it was verified."""
    if report.at.step in pins:
        raise ConflictError(f"{report.at.ref}: was pinned meanwhile")
    now, _ = read_manifest(report.at)
    if (now and now.digest) != (report.manifest and report.manifest.digest):
        raise ConflictError(f"{report.at.ref}: was changed meanwhile")


def _payload(report: CheckpointReport) -> list[Path]:
    """Return the files that must move one by one: those of a sidecar checkpoint."""
    manifest = report.manifest
    if manifest is None or not report.at.sidecar:
        return []
    return [report.at.folder / f.path for item in manifest.items.values() for f in item.files if is_flat(f.path)]


def undelete(storage: LocalStorage, run: str, step: int | None) -> Location:
    """Take the checkpoint that was removed last (of that step, if given) back out of the trash.

    Raises:
        NotFoundError: the trash holds none.
        ConflictError: the step exists again.
    """
    state = storage.state_folder(run)
    storage.require()
    if not state.is_dir():
        raise NotFoundError(f"{run}: there is no such run in {storage.root}, or nothing was ever removed from it")
    with locks.alone(state):
        found = [t for t in trash.listing(state) if t.step is not None and step in (None, t.step)]
        if not found:
            wanted = run if step is None else f"{run}@{step}"
            hint = "what was removed is kept for the grace time only"
            raise NotFoundError(f"{wanted}: is not in the trash", hint=hint)
        trashed = found[0]
        assert trashed.step is not None  # filtered above
        if storage.at_step(run, trashed.step):
            raise ConflictError(f"{run}@{trashed.step}: exists again", hint="remove or move that one first")
        trash.restore(trashed, storage.run_folder(run))
        return storage.at_step(run, trashed.step)[0]
