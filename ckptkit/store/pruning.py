"""Prune: gather what retention needs to know, and carry out a plan; deciding itself is the retention room's."""

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from ckptkit import durable
from ckptkit.catalog import beside_others, manifest_files, refs
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, NotFoundError
from ckptkit.manifest.names import is_run
from ckptkit.renamed import warn
from ckptkit.retention import PrunePlan, RetentionPolicy, plan
from ckptkit.storage import Entry, Leftover, Removed, Storage, SupportsLinks
from ckptkit.store import (
    anchors,
    as_planned,
    missing,
    nearest_run,
    pointers,
    purging,
    surveying,
    void,
    without_manifest,
)
from ckptkit.store.copies import copied_into
from ckptkit.store.reference import Ref
from ckptkit.store.surveying import Surveyed
from ckptkit.verification import Verifier

DEFAULT_GRACE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class PruneSurvey:
    """A plan together with where its checkpoints are and what was found in them.

    Attributes:
        plan: the decision.
        checkpoints: what was found of each, in the order of ``plan.entries``.
        garbage: staging folders of dead saves, and trash entries, older than the grace time.
        stopped: runs that are not pruned because their pins and tags are damaged: the reasons, by name.
        void: manifests that are cleared away with the garbage, which counts them too: their trainer has removed what
            they list, or written over it.
        copies: runs that are not pruned unless named, because they are copies in another run's folder: that run, by
            name.
    """

    plan: PrunePlan
    checkpoints: Sequence[Surveyed]
    garbage: Sequence[Leftover]
    stopped: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    void: Collection[Entry] = ()

    def frees(self) -> int:
        """Return how many bytes are free once what the plan removes is gone for good: what others share stays."""
        decided = zip(self.plan.entries, self.checkpoints, strict=True)
        removed = [(entry.candidate, one.at) for entry, one in decided if entry.action == "remove"]
        shared = [at for candidate, at in removed if candidate.shares and isinstance(at.storage, SupportsLinks)]
        if not shared or not isinstance(shared[0].storage, SupportsLinks):
            return self.plan.removed_bytes
        return shared[0].storage.frees(shared) + sum(c.size for c, at in removed if at not in shared)

    @property
    def reports(self) -> Sequence[Surveyed]:
        """The old name of ``checkpoints``, for one more version."""
        warn("PruneSurvey.reports", "PruneSurvey.checkpoints")
        return self.checkpoints


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was carried out: checkpoints moved to the trash, garbage purged, and what failed (one line each)."""

    removed: Sequence[Entry]
    purged: Sequence[Leftover]
    failures: Sequence[str]


def survey(
    storage: Storage,
    policies: RetentionPolicy | Mapping[str, RetentionPolicy],
    verifier: Verifier,
    *,
    run: str | Collection[str] | None = None,
    grace: timedelta = DEFAULT_GRACE,
) -> PruneSurvey:
    """Verify the checkpoints and plan; nothing is changed.

    What the verifier's ledger knows of a checkpoint that is unchanged is trusted: no file of it is read.

    Args:
        storage: the store.
        policies: one for all runs, or by run.
        verifier: decides which checkpoints may fill a slot.
        run: only this run is pruned (others still protect what they were resumed from); or those of a pattern, of
            which copies in another run's folder are not.
        grace: how old garbage must be.

    Raises:
        NotFoundError: there is nothing to prune.
        DamagedError, StoreError: the pins and tags of everything that is to be pruned cannot be read. (If it is only
        some runs, these are left whole and listed in ``stopped``.)
        RefusedError, UsageError: see ``ckptkit.retention.plan``.
    """
    wanted = None if run is None else {run} if isinstance(run, str) else set(run)
    if isinstance(policies, Mapping):
        wanted = set(policies) if wanted is None else wanted & set(policies)
    scanned = {name: [*members] for name, members in groupby(storage.scan(), key=lambda at: at.run)}
    there = {name: found for name, found in scanned.items() if is_run(name)}  # the others can be no one's
    places = [at for found in there.values() for at in found if at.step is not None]
    if not any(wanted is None or at.run in wanted for at in places):
        named = run if isinstance(run, str) else None
        hint = None if named is None else nearest_run.hint(storage, named)
        raise NotFoundError(f"{named or storage.url}: there is no checkpoint to prune", hint=hint)
    pruned = {at.run for at in places if wanted is None or at.run in wanted}
    gone = {one for name in sorted(pruned) for one in void.of(storage, name, there[name])}
    places = [at for at in places if at not in gone] if gone else places
    known, stopped = _read_refs(storage, {at.run for at in places}, wanted)
    # Runs that are not pruned are only asked what they were resumed from.
    shallow = Verifier("presence", ledger=verifier.ledger)
    found = surveying.survey(places, lambda name: verifier if wanted is None or name in wanted else shallow)
    pointed = pointers.look(at for at in places if at.run in pruned)
    proving = anchors.of(storage).needed()
    by_candidate = [(one.candidate(known[one.at.run], pointed, proving), one) for one in found]
    surveyed = {id(candidate): one for candidate, one in by_candidate}
    candidates = [candidate for candidate, _ in by_candidate]
    copies = {} if isinstance(run, str) else copied_into(surveyed.values())
    if run is not None:
        copies = {name: around for name, around in copies.items() if name in run}
    spared = {*stopped, *copies}
    runs = {c.run for c in candidates if wanted is None or c.run in wanted} - spared
    chosen = {name: policies[name] if isinstance(policies, Mapping) else policies for name in runs}
    if isinstance(policies, Mapping) and run is None:
        chosen |= {name: policies[name] for name in policies if name not in spared}  # one without checkpoints is told
    decided = plan(candidates, chosen, now=datetime.now(UTC))
    decided = replace(decided, notes=(*decided.notes, *pointed.odd, *_not_counted(storage, runs, there)))
    cleared = [one for one in gone if one.run in runs]
    garbage = [left for name in sorted(runs) for left in storage.leftovers(name, grace.total_seconds())]
    garbage += map(_leftover, cleared)
    checkpoints = [surveyed[id(entry.candidate)] for entry in decided.entries]
    return PruneSurvey(decided, checkpoints, garbage, stopped, copies, cleared)


def _not_counted(storage: Storage, runs: Collection[str], there: Mapping[str, Iterable[Entry]]) -> Iterator[str]:
    """Yield a line for each run into which a trainer has written since it was adopted."""
    for run in sorted(runs):
        if paths := without_manifest.of(storage, run, there=there[run]):
            adopt = without_manifest.adopt_command(storage, run, paths[0].parent)
            count = "1 checkpoint has" if len(paths) == 1 else f"{len(paths)} checkpoints have"
            yield f"{run}: not counted: {count} no manifest: {without_manifest.told(paths)}; `{adopt}` judges that"


def _leftover(entry: Entry) -> Leftover:
    return Leftover(entry.run, entry.manifest_file, entry.storage.where(entry, entry.manifest_file))


def _read_refs(
    storage: Storage, runs: Collection[str], wanted: Collection[str] | None
) -> tuple[dict[str, refs.Refs], dict[str, str]]:
    """Return the pins and tags of all runs and, for runs to be pruned, why some cannot be known."""
    known, stopped = {}, {}
    failure: CkptkitError | None = None
    for run in sorted(runs):
        try:
            known[run] = refs.read(storage, run)
        except CkptkitError as error:
            known[run] = refs.Refs()
            if wanted is None or run in wanted:
                stopped[run], failure = error.message, error
    if failure is not None and not set(runs if wanted is None else wanted) & set(runs) - set(stopped):
        raise failure
    return known, stopped


def apply(
    storage: Storage,
    surveyed: PruneSurvey,
    *,
    expected: str | None = None,
    on_bytes: Callable[[int], None] | None = None,
    jobs: int | None = None,
) -> Pruned:
    """Carry out a plan: move to the trash, purge old garbage. One that cannot be removed does not stop the rest.

    All names are gone first. What is purged is freed after that, by several threads, while others may save again.

    Args:
        storage: the store.
        surveyed: from ``survey``.
        expected: digest of the plan that a person has reviewed.
        on_bytes: called with the sizes of what is freed.
        jobs: how many threads free it; all cores when left out.

    Raises:
        ConflictError: the plan is not the one that was reviewed.
        LockedError: another process saves or prunes there.
    """
    if expected is not None and expected != surveyed.plan.digest:
        raise ConflictError(
            "the plan is not the one that was reviewed: the store has changed since",
            hint="run prune again without --apply and review the new plan",
        )
    failures: list[str] = []
    runs = {one.at.run for one in surveyed.checkpoints}
    claims = Counter(path for one in surveyed.checkpoints for path in _payload(one))
    with contextlib.ExitStack() as held:
        pins: dict[str, set[int]] = {}
        for run in sorted(runs):
            held.enter_context(storage.locked(run, "change"))
            try:
                pins[run] = refs.read(storage, run).pins
            except CkptkitError as error:  # damaged since the survey
                failures.append(error.message)
            try:
                storage.finish_removals(run, {path for of, path in claims if of == run})
            except CkptkitError as error:
                failures.append(error.message)
        removed = _remove(storage, surveyed, pins, claims, failures)
        forgotten = _forget(storage, surveyed.void, failures)
        manifests = {*map(_leftover, surveyed.void)}
        aside = purging.set_aside(storage, (one for one in surveyed.garbage if one not in manifests), failures)
    purged = purging.purge(storage, aside, failures, on_bytes=on_bytes, jobs=jobs)
    return Pruned(removed, [*purged, *forgotten], failures)


def _remove(
    storage: Storage,
    surveyed: PruneSurvey,
    pins: Mapping[str, Collection[int]],
    claims: Counter[tuple[str, str]],
    failures: list[str],
) -> list[Entry]:
    """Move to the trash what is to be removed, and make all of it last together."""
    removed: dict[Entry, Removed] = {}
    try:
        for entry, one in zip(surveyed.plan.entries, surveyed.checkpoints, strict=True):
            if entry.action == "remove" and one.at.run in pins and one.at.identity is not None:
                try:
                    as_planned.require(one, pins[one.at.run])
                    payload = _payload(one)
                    needed = {path for of, path in payload if claims[of, path] > 1}  # by others, which list them too
                    files = beside_others.movable([path for _, path in payload], needed)
                    with durable.undivided():
                        removed[one.at] = storage.remove(one.at, files, lasting=False)
                    claims.subtract(payload)
                except CkptkitError as error:
                    failures.append(error.message)
    finally:  # also what Ctrl-C came into
        lasting = _made_last(storage, removed, failures)
    return lasting


def _made_last(storage: Storage, removed: Mapping[Entry, Removed], failures: list[str]) -> list[Entry]:
    """Make removals last, or take them back: what was not removed for sure is to be there still."""
    try:
        storage.make_last([*removed.values()])
    except CkptkitError as error:
        failures.append(error.message)
        for gone in removed.values():
            with contextlib.suppress(CkptkitError):  # it is back then; whether that lasts is as unsure
                storage.bring_back(gone)
        return [at for at in removed if at.identity is None]
    return [*removed]


def _forget(storage: Storage, void_ones: Collection[Entry], failures: list[str]) -> list[Leftover]:
    """Clear away those manifests that still are void; return these, as leftovers."""
    still = {one for run in {one.run for one in void_ones} for one in void.of(storage, run)}
    forgotten = []
    for one in void_ones:
        if one in still:
            leftover = _leftover(one)  # what it is called while it is there
            try:
                storage.forget(one)
                forgotten.append(leftover)
            except CkptkitError as error:
                failures.append(error.message)
    return forgotten


def _payload(one: Surveyed) -> list[tuple[str, str]]:
    return [(one.at.run, path) for path in one.payload]


def _whole(storage: Storage, run: str, step: int) -> list[Entry]:
    return [at for at in storage.at_step(run, step) if not manifest_files.is_missing(at)]


def undelete(storage: Storage, ref: Ref) -> Entry:
    """Take the checkpoint that was removed last (of those that the reference names) back out of the trash.

    Raises:
        NotFoundError: the trash holds none.
        ConflictError: the step exists again.
        DamagedError: its manifest cannot be read.
    """
    storage.require()
    run = ref.run
    if not storage.has_run(run):
        reason = f"{run}: there is no such run in {storage.url}, or nothing was ever removed from it"
        raise NotFoundError(reason, hint=nearest_run.hint(storage, run))
    with storage.locked(run, "change"):
        found = [one for one in storage.removed(run) if one.step is not None and missing.is_removed(ref, one)]
        if not found:
            hint = "what was removed is kept for the grace time only; `ckptkit list --trash` shows what there is"
            raise NotFoundError(f"{ref}: is not in the trash", hint=hint)
        trashed = found[0]
        assert trashed.step is not None  # filtered above
        # What has no manifest may be this very checkpoint, of which a time before was cut off: the store tells.
        if _whole(storage, run, trashed.step):
            raise ConflictError(f"{run}@{trashed.step}: exists again", hint="remove or move that one first")
        storage.bring_back(trashed)
        back = _whole(storage, run, trashed.step) or storage.at_step(run, trashed.step)
        if not back:
            reason = f"{run}@{trashed.step}: its files are back in the run, but no manifest of theirs was in the trash"
            raise DamagedError(reason, hint="adopt it again: `ckptkit adopt PATH`")
        return back[0]
