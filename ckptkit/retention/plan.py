"""The prune plan: every checkpoint with its action and the reasons, decided without touching a file."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ckptkit.digest import digest_bytes
from ckptkit.errors import RefusedError, UsageError
from ckptkit.formats import strict_json
from ckptkit.retention.candidate import Candidate
from ckptkit.retention.policy import RetentionPolicy
from ckptkit.retention.rules import Ruling, judge
from ckptkit.retention.settlement import Settlement

Action = Literal["keep", "remove"]


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """What happens to one checkpoint, and why (short sentences, at least one)."""

    candidate: Candidate
    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """A decision about all checkpoints of some runs, to be reviewed and then applied.

    Attributes:
        entries: sorted by (run, step, sequence).
        refused: runs in which nothing verifies, so that nothing is removed from them.
        notes: one line each: what people should know although nothing is wrong with the plan.
    """

    entries: tuple[PlanEntry, ...]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The checkpoints that stay."""
        return tuple(e.candidate for e in self.entries if e.action == "keep")

    @property
    def removed(self) -> tuple[Candidate, ...]:
        """The checkpoints that go."""
        return tuple(e.candidate for e in self.entries if e.action == "remove")

    @property
    def kept_bytes(self) -> int:
        """Bytes of the checkpoints that stay."""
        return sum(c.size for c in self.kept)

    @property
    def removed_bytes(self) -> int:
        """Bytes of the checkpoints that go."""
        return sum(c.size for c in self.removed)

    @property
    def digest(self) -> str:
        """``algorithm:hex`` of the decisions: equal when the same checkpoints get the same actions, at any time."""
        decisions = [
            [e.candidate.run, e.candidate.step, e.candidate.sequence, e.candidate.size, e.action] for e in self.entries
        ]
        return digest_bytes(strict_json.dumps({"schema_version": 1, "decisions": decisions}))


def plan(
    checkpoints: Sequence[Candidate],
    policy: RetentionPolicy | Mapping[str, RetentionPolicy],
    *,
    now: datetime,
) -> PrunePlan:
    """Decide which checkpoints stay.

    Rules count within a run, in the order of (step, sequence). Whatever the policy says, these stay: the newest that
    verifies, the one saved last, pinned ones, the best (if a metric is given), future-dated ones, and those that a
    kept checkpoint of *another* run was resumed from. (Within a run a resume point is not special: a job that was
    interrupted a hundred times would keep a hundred.) A plan is stable: planning again after removing removes nothing.

    Args:
        checkpoints: all checkpoints of all runs in the store, since other runs may have been resumed from the pruned
            one.
        policy: one policy for every run; or run -> policy, and runs that are not named are left alone.
        now: the present, with a time zone.

    Returns:
        The plan, with an entry for every checkpoint of the runs that have a policy.

    Raises:
        RefusedError: a tag or the metric occurs in no checkpoint of any run; or none of the runs to prune has a
            checkpoint that verifies (if that is true of only some, these are left whole and named in ``refused``).
        UsageError: ``now`` has no time zone, or a run is named that has no checkpoint.
    """
    if now.utcoffset() is None:
        raise UsageError("now has no time zone", hint="use datetime.now(timezone.utc)")
    runs: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in checkpoints:
        runs[candidate.run].append(candidate)
    policies = dict(policy) if isinstance(policy, Mapping) else dict.fromkeys(runs, policy)
    for run in sorted(policies):
        if run not in runs:
            raise UsageError(f"{run}: has no checkpoints to prune", hint="`ckptkit list` shows the runs")
    for each in dict.fromkeys(policies[run] for run in sorted(policies)):
        _refuse_typos(each, checkpoints)
    rulings = {run: judge(runs[run], policies[run], now) for run in sorted(policies)}
    refused = _spare_bad_runs(rulings)
    others = [c for run, members in runs.items() if run not in policies for c in members]
    settlement = Settlement(rulings, others, policies)
    settlement.run()
    entries = []
    for ruling in (v for found in rulings.values() for v in found):
        stays, reasons = settlement.outcome(ruling)
        entries.append(PlanEntry(ruling.candidate, "keep" if stays else "remove", reasons))
    return PrunePlan(tuple(entries), refused, tuple(settlement.notes()))


def _spare_bad_runs(rulings: Mapping[str, list[Ruling]]) -> tuple[str, ...]:
    """Keep whole the runs in which nothing verifies, and return their names."""
    refused = []
    for run, found in rulings.items():
        if not any(v.candidate.good for v in found) and not all(v.reasons for v in found):
            refused.append(run)
            for ruling in found:
                ruling.keep("refused: nothing in this run verifies", protect=True)
    if refused and len(refused) == len(rulings):
        names = ", ".join(refused[:5]) + (", ..." if len(refused) > 5 else "")
        raise RefusedError(
            f"{names}: no checkpoint verifies, so none is removed",
            hint="`ckptkit verify RUN` names every damaged file; nothing was changed",
        )
    return tuple(refused)


def _refuse_typos(policy: RetentionPolicy, checkpoints: Sequence[Candidate]) -> None:
    """A word that occurs nowhere is a typo, and what it should have kept would be deleted."""
    known_tags = {tag for c in checkpoints for tag in c.tags}
    for tag in sorted(policy.keep_tags - known_tags):
        raise RefusedError(f"tag {tag!r} matches nothing: no checkpoint of any run has it", hint=_near(tag, known_tags))
    if policy.metric is not None and not any(policy.metric in c.metrics for c in checkpoints):
        known = {name for c in checkpoints for name in c.metrics}
        raise RefusedError(
            f"metric {policy.metric!r} matches nothing: no checkpoint of any run has it",
            hint=_near(policy.metric, known),
        )


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]!r}? nothing was changed" if near else "nothing was changed"
