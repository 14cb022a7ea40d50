"""Where a run continued: a run that was resumed as another one is followed to its newest good checkpoint there.

A run that began from a checkpoint of R is R's continuation as long as R itself has no good checkpoint beyond that one.
If R has one, the other run is an experiment on the side, and never followed. Of several continuations the furthest is
taken, by step, then by the time of its last save.

Only what belongs to the user who asks, or to the owner of the run that was named, is followed: a stranger who may write
elsewhere in the store must not be able to decide what is resumed, or by which command.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from ckptkit.catalog import manifests
from ckptkit.errors import BackendUnavailableError, StoreError
from ckptkit.manifest.models import Manifest, Parent
from ckptkit.manifest.names import is_run
from ckptkit.storage import Entry, Storage
from ckptkit.storage.newest_first import LastFirst, newest_first
from ckptkit.storage.remote import SupportsStats
from ckptkit.verification import ELSEWHERE, CheckpointReport, Verifier

_Reach = tuple[int, str]
_BEFORE_ALL = -2  # what has no step in its name sorts as -1, and is looked at last


@dataclass(frozen=True, slots=True)
class Reached:
    """The newest good checkpoint of a run and its continuations.

    Attributes:
        report: of the checkpoint.
        manifest: its manifest.
        followed: one line for each run that continued as another one on the way there, and for each continuation that
            was not taken or is another user's.
    """

    report: CheckpointReport
    manifest: Manifest
    followed: Sequence[str] = ()

    @property
    def reach(self) -> _Reach:
        """The key that continuations are compared by."""
        return self.manifest.step, self.manifest.created_at


@dataclass
class Search:
    """Looks for the newest good checkpoint; verifies none twice, and none that cannot decide anything.

    Attributes:
        storage: the store.
        verifier: judges.
        run: the run that was named.
        own: checkpoints by run, the last first; those of the named run must be there.
        follow: whether to look into other runs at all.
    """

    storage: Storage
    verifier: Verifier
    run: str
    own: dict[str, LastFirst]
    follow: bool = True
    _reports: dict[Entry, CheckpointReport] = field(default_factory=dict)

    @property
    def bad(self) -> list[CheckpointReport]:
        """What was looked at but does not verify, the newest first."""
        found = [report for report in self._reports.values() if not _is_good(report)]
        return sorted(found, key=lambda report: -1 if report.at.step is None else report.at.step, reverse=True)

    def newest(self) -> Reached | None:
        """Return the newest good checkpoint of the run, or of the run that continued it."""
        return self._beyond(self.run, _BEFORE_ALL, frozenset({self.run}))

    def _beyond(self, run: str, after: int, seen: frozenset[str]) -> Reached | None:
        """The same, beyond a step; ``seen`` are the runs on the way here."""
        best: Reached | None = None
        lines: dict[str, str] = {}
        strangers: list[str] = []
        taken = ""
        for heir in sorted(self._heirs(run, seen), key=lambda name: self._preferred(name, seen), reverse=True):
            fork = self._tips[heir].began_from
            assert fork is not None  # else it were no heir
            bound = self._bound(heir, seen)
            if bound[0] <= fork.step or self._own(run, fork.step) is not None:
                continue  # it counts anew, or the run went on by itself: that was an experiment
            if not self._trusted(next(iter(self.own[heir]))):
                strangers.append(f"{heir} went on from {run}@{fork.step}, but is another user's: it is not followed")
                continue
            if best is None or bound > best.reach:  # else it cannot be further, and is not read
                found = self._beyond(heir, max(after, fork.step), seen | {heir})
                if found is None:
                    continue
                bound = found.reach
                if best is None or found.reach > best.reach:
                    best, taken = found, heir
            lines[heir] = f"{heir}: from step {fork.step} to step {bound[0]}"
        if best is None:
            mine = self._own(run, after)
            return mine if mine is None else Reached(mine.report, mine.manifest, strangers)
        also = [f"{run} also went on as {line}" for heir, line in lines.items() if heir != taken]
        followed = [f"{run} went on as {lines[taken]}", *best.followed, *also, *strangers]
        return Reached(best.report, best.manifest, followed)

    def _preferred(self, heir: str, seen: frozenset[str]) -> tuple[_Reach, bool]:
        """Return the sort key of continuations: of a run and its copy, which got equally far, the run comes first."""
        return self._bound(heir, seen), self._tips[heir].run == heir

    def _own(self, run: str, after: int) -> Reached | None:
        """Return the run's own newest good checkpoint beyond a step."""
        for at in self.own[run]:
            if (-1 if at.step is None else at.step) <= after:
                return None
            if not self._trusted(at):
                continue
            if at not in self._reports:
                self._reports[at] = self.verifier.verify(at)
            report = self._reports[at]
            if _is_good(report) and report.manifest is not None:
                return Reached(report, report.manifest)
            require_judged(report)
        return None

    def _trusted(self, at: Entry) -> bool:
        """Whether a checkpoint is the named run's own, or belongs to the user, or to the owner of that run."""
        return at.run == self.run or self.storage.owner(at) in self._users

    @cached_property
    def _users(self) -> set[Hashable | None]:
        return {self.storage.user, *(self.storage.owner(at) for at in islice(self.own[self.run], 1))} - {None}

    def _heirs(self, run: str, seen: frozenset[str]) -> list[str]:
        """Return the runs that continued this one, without those whose manifests show that they cannot count."""
        if not self.follow:
            return []
        return [heir for heir in self._by_origin[run] if heir not in seen and self._may_count(run, heir)]

    def _may_count(self, run: str, heir: str) -> bool:
        tip, mine = self._tips[heir], self._tips.get(run)
        fork = tip.began_from
        if fork is None or mine is None or any(at.step == fork.step for at in self.own[run]):
            return True
        # The checkpoint it went on from is gone. When the run has saved since, a person went back in it on purpose.
        return tip.created_at > mine.created_at

    def _bound(self, run: str, seen: frozenset[str]) -> _Reach:
        """Return how far a run and its continuations can have got, according to their manifests."""
        inner = seen | {run}
        tip = self._tips[run]
        further = [self._bound(heir, inner) for heir in self._by_origin[run] if heir not in inner]
        return max([(tip.step, tip.created_at), *further])

    @cached_property
    def _tips(self) -> Mapping[str, Manifest]:
        """The newest manifest of each run that can be read: one read for each run, whatever it holds."""
        tips = {}
        for run, entries in newest_first(self.storage):
            if not is_run(run):  # a stranger's folder may have a name that no run can have
                continue
            for at in self.own.setdefault(run, entries):
                manifest, problem = manifests.read(at)
                if manifest is not None and problem is None:
                    tips[run] = manifest
                    break
        return tips

    @cached_property
    def _by_origin(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for run, tip in sorted(self._tips.items()):
            origin: Parent | None = tip.began_from
            if origin is not None and origin.run != run:
                found[origin.run].append(run)
        return found


def require_judged(report: CheckpointReport) -> None:
    """Raise for what cannot be judged here, or now: going back behind it could lose good state.

    Raises:
        BackendUnavailableError: it takes what is not installed.
        StoreError: the service that it lies on could not be read; a disk that cannot be read will not be tomorrow.
    """
    if report.unread and isinstance(report.at.storage, SupportsStats):
        hint = f"try again: it may be whole; `{report.at.run}@STEP` names an older one"
        raise StoreError(f"{report.at.ref}: could not be read: {report.reason}", hint=hint)
    if report.not_judged:
        hint = "do that first, or go by digests alone: --level digest (level='digest')"
        if any(problem.code == ELSEWHERE for problem in report.problems):
            hint = "do that first: until then nothing older is resumed from in its place"
        raise BackendUnavailableError(f"{report.at.ref}: {report.reason}", hint=hint)


def _is_good(report: CheckpointReport) -> bool:
    return report.good and report.manifest is not None
