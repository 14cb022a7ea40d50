"""Retain: a retention policy in short words, as training code writes it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

from ckptkit.retention.policy import RetentionPolicy, policy_from_words


def Retain(  # reads as the value that it returns
    *,
    last: int | Literal["all"] | None = None,
    every: int | None = None,
    best: int | None = None,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    within: timedelta | str | None = None,
    hourly: int | None = None,
    daily: int | None = None,
    weekly: int | None = None,
    monthly: int | None = None,
    yearly: int | None = None,
    tags: Iterable[str] = (),
    max_size: int | str | None = None,
) -> RetentionPolicy:
    """Return what to keep of each run; a checkpoint stays when any rule keeps it.

    Args:
        last: the newest N that verify; ``"all"`` keeps everything.
        every: the first that verifies at or after every multiple of this many steps.
        best: the best N by ``metric``.
        metric: name of the metric; when it is given, the best one is always kept.
        mode: whether the best is the ``min`` or the ``max``.
        within: everything younger than this: ``"7d"``, ``"12h"`` or a ``timedelta``.
        hourly: the newest of each of the last N hours (UTC) that hold one that verifies.
        daily: so for days.
        weekly: so for ISO weeks.
        monthly: so for months.
        yearly: so for years.
        tags: everything with one of these tags.
        max_size: bytes per run, or ``"50GB"``: the oldest go until the rest fits.

    Raises:
        UsageError: no rule, or one that makes no sense; see ``RetentionPolicy``, which it returns.

    Example:
        >>> store.prune(store.plan_prune(Retain(last=3, best=1, metric="reward", mode="max"), run="ppo/run1"))
    """
    return policy_from_words(
        {
            "keep_last": last,
            "keep_every": every,
            "keep_best": best,
            "metric": metric,
            "mode": mode,
            "keep_within": within,
            "keep_hourly": hourly,
            "keep_daily": daily,
            "keep_weekly": weekly,
            "keep_monthly": monthly,
            "keep_yearly": yearly,
            "keep_tags": [tags] if isinstance(tags, str) else list(tags),
            "max_size": max_size,
        }
    )
