"""The keep rules: which checkpoints of one run each rule of a policy keeps, and the reason in words.

Rules that count slots (last, every, best, hourly, ...) look only at checkpoints that verify. Rules that count nothing
(all, within, tags, pins, future dates) keep damaged ones as well: there may be something to rescue in them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ckptkit.retention.candidate import Candidate
from ckptkit.retention.policy import PERIODS, Period, RetentionPolicy
from ckptkit.retention.quantities import format_duration, format_size

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of now a date may lie before it counts as future-dated: clocks of a cluster differ by less."""

_PERIOD_KEY: dict[Period, Callable[[datetime], object]] = {
    "hourly": lambda t: (t.date(), t.hour),
    "daily": lambda t: t.date(),
    "weekly": lambda t: t.isocalendar()[:2],
    "monthly": lambda t: (t.year, t.month),
    "yearly": lambda t: t.year,
}


@dataclass(slots=True)
class Ruling:
    """What is known about one checkpoint so far: no reason means that nothing keeps it."""

    candidate: Candidate
    reasons: list[str] = field(default_factory=list)
    protected: bool = False
    """Not even ``max_size`` takes it away."""

    def keep(self, reason: str, *, protect: bool = False) -> None:
        """Note a reason to keep it."""
        self.reasons.append(reason)
        self.protected |= protect


def judge(candidates: Sequence[Candidate], policy: RetentionPolicy, now: datetime) -> list[Ruling]:
    """Return a ruling for each checkpoint of one run, oldest first, by all rules that look only at this run."""
    rulings = [Ruling(c) for c in sorted(candidates, key=lambda c: c.order)]
    good = [v for v in rulings if v.candidate.good]
    _by_count(good, policy)
    _by_period(good, policy, now)
    _by_metric(good, policy)
    _by_name(rulings, policy, now)
    _always(rulings, good, now)
    return rulings


def _by_count(good: list[Ruling], policy: RetentionPolicy) -> None:
    if isinstance(policy.keep_last, int):
        for ruling in good[-policy.keep_last :]:
            ruling.keep(f"last {policy.keep_last}")
    if policy.keep_every is not None:
        seen = set()
        for ruling in good:
            step = ruling.candidate.step
            # Trainers seldom save at the exact multiple (rollouts of 2,048 steps): the first one past it stands for it.
            multiple = step // policy.keep_every
            if (multiple > 0 or step == 0) and multiple not in seen:
                seen.add(multiple)
                ruling.keep(f"every {policy.keep_every} steps")
    if policy.only_by_size and policy.max_size is not None:
        for ruling in good:
            ruling.keep(f"fits in {format_size(policy.max_size)}")


def _by_period(good: list[Ruling], policy: RetentionPolicy, now: datetime) -> None:
    for period in PERIODS:
        count = getattr(policy, f"keep_{period}")
        if count is None:
            continue
        seen: set[object] = set()
        for ruling in reversed(good):
            when = ruling.candidate.created_at.astimezone(UTC)
            key = _PERIOD_KEY[period](when)
            if len(seen) < count and key not in seen and when <= now + CLOCK_SKEW:
                seen.add(key)
                ruling.keep(f"{period} {count}")


def _by_metric(good: list[Ruling], policy: RetentionPolicy) -> None:
    if policy.metric is None:
        return
    sign = 1 if policy.mode == "max" else -1
    values = [(v, v.candidate.metrics.get(policy.metric, math.nan)) for v in good]
    # "good" goes from old to new and sorted() is stable: walking back puts the newer of equals first.
    ranked = sorted(((v, x) for v, x in reversed(values) if math.isfinite(x)), key=lambda pair: -sign * pair[1])
    label = f"best {policy.keep_best}" if policy.keep_best is not None else "best"
    for rank, (ruling, value) in enumerate(ranked[: policy.keep_best or 1]):
        ruling.keep(f"{label} by {policy.metric} ({value})", protect=rank == 0)


def _by_name(rulings: list[Ruling], policy: RetentionPolicy, now: datetime) -> None:
    for ruling in rulings:
        candidate = ruling.candidate
        if policy.keep_last == "all":
            ruling.keep("all")
        if policy.keep_within is not None and now - candidate.created_at < policy.keep_within:
            ruling.keep(f"within {format_duration(policy.keep_within)}")
        for tag in sorted(candidate.tags & policy.keep_tags):
            ruling.keep(f"tag {tag}", protect=True)


def _always(rulings: list[Ruling], good: list[Ruling], now: datetime) -> None:
    if good:
        good[-1].keep("newest that verifies", protect=True)
        # A run that went back to an older step and on from there: what it saved last is not its highest step.
        last = max(good, key=lambda v: (v.candidate.sequence, v.candidate.step))
        if last is not good[-1]:
            last.keep("saved last", protect=True)
    for ruling in rulings:
        if ruling.candidate.pinned:
            ruling.keep("pinned", protect=True)
        if ruling.candidate.created_at > now + CLOCK_SKEW:
            ruling.keep("dated in the future", protect=True)
        for reason in ruling.candidate.held:
            ruling.keep(reason, protect=True)
        if not ruling.candidate.judged:
            ruling.keep("not judged here", protect=True)
