"""The retention policy: small keep rules, OR'ed; a policy that names nothing to keep is refused, never "delete all"."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal

from ckptkit.errors import UsageError
from ckptkit.retention.quantities import MAX_DURATION, MAX_SIZE, parse_duration, parse_size

MAX_COUNT = 10**9
Period = Literal["hourly", "daily", "weekly", "monthly", "yearly"]
PERIODS: tuple[Period, ...] = ("hourly", "daily", "weekly", "monthly", "yearly")
_COUNTS = ("keep_last", "keep_every", "keep_best", *(f"keep_{period}" for period in PERIODS))
_RULES = (*_COUNTS, "keep_within", "keep_tags", "max_size")


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """What to keep of each run. A checkpoint stays if any rule keeps it; None switches a rule off.

    Attributes:
        keep_last: the newest N that verify; ``"all"`` keeps everything, damaged ones as well.
        keep_every: the first that verifies at or after every multiple of this many steps (step 0 included).
        keep_best: the best N by ``metric``; NaN, infinite and missing values never rank; among equals the newer wins.
        metric: name of the metric; if given, the best one is always kept.
        mode: whether the best is the ``min`` or the ``max``; there is no default, because a wrong guess would delete
            the best.
        keep_within: everything committed less than this long ago, damaged ones as well.
        keep_hourly: the newest of each of the last N hours (UTC) that hold a checkpoint that verifies; so
            ``keep_daily``, ``keep_weekly`` (ISO weeks), ``keep_monthly`` and ``keep_yearly``.
        keep_tags: everything with one of these tags, damaged ones as well; ``max_size`` does not touch them.
        max_size: bytes per run. The only rule that removes: damaged ones first, then the oldest, until the rest fits;
            what is protected stays even if it does not fit. If it is the only rule, it starts from everything.

    Raises:
        UsageError: no rule, zero, a negative or an absurd number, ``keep_best`` without a metric or mode.
    """

    keep_last: int | Literal["all"] | None = None
    keep_every: int | None = None
    keep_best: int | None = None
    metric: str | None = None
    mode: Literal["min", "max"] | None = None
    keep_within: timedelta | None = None
    keep_hourly: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    keep_yearly: int | None = None
    keep_tags: frozenset[str] = frozenset()
    max_size: int | None = None

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if not (name == "keep_last" and self.keep_last == "all"):
                _check_count(name, getattr(self, name))
        if self.keep_within is not None and not timedelta(0) < self.keep_within <= MAX_DURATION:
            raise UsageError(f"keep_within: {self.keep_within} is not a sensible duration", hint='for example "7d"')
        if self.max_size is not None and (type(self.max_size) is not int or not 1 <= self.max_size <= MAX_SIZE):
            raise UsageError(f"max_size: {self.max_size} is not a sensible number of bytes", hint='for example "10GB"')
        if not all(isinstance(tag, str) and tag for tag in self.keep_tags):
            raise UsageError("keep_tags: a tag is empty or not text", hint="name the tag, for example release")
        self._check_metric()
        if all(getattr(self, name) in (None, frozenset()) for name in _RULES):
            raise UsageError("the retention policy names nothing to keep", hint="for example keep_last 3")

    def _check_metric(self) -> None:
        if self.mode not in (None, "min", "max"):
            raise UsageError(f"mode: {self.mode!r} is not a mode", hint="use min (a loss) or max (a reward)")
        if self.metric is not None and not (isinstance(self.metric, str) and self.metric):
            raise UsageError("metric: the name is empty or not text", hint="name the metric, for example reward")
        if self.keep_best is not None and self.metric is None:
            raise UsageError("keep_best: best by which metric?", hint="give the metric and the mode as well")
        if (self.metric is None) != (self.mode is None):
            present, absent = ("metric", "mode") if self.mode is None else ("mode", "metric")
            raise UsageError(f"{present}: needs the {absent} as well", hint="for example metric reward, mode max")

    @property
    def only_by_size(self) -> bool:
        """Whether ``max_size`` is the only rule."""
        return all(getattr(self, name) in (None, frozenset()) for name in _RULES if name != "max_size")


def policy_from_words(words: Mapping[str, Any]) -> RetentionPolicy:
    """Build a policy from words of a command line or a file; None means "not given".

    Args:
        words: field name -> value; counts as int or text ("3", "all"), durations and sizes as text ("7d", "10GB"),
            tags as a list of text.

    Raises:
        UsageError: an unknown name (the nearest known one is the hint), or a value that is not sensible.
    """
    names = [field.name for field in fields(RetentionPolicy)]
    values: dict[str, Any] = {}
    for name, word in words.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
            raise UsageError(f"{name}: not a retention rule", hint=hint)
        if word is not None:
            values[name] = _value(name, word)
    return RetentionPolicy(**values)


def _value(name: str, word: Any) -> Any:
    try:
        if name in _COUNTS and isinstance(word, str):
            return word if (name, word) == ("keep_last", "all") else _count(name, word)
        if name == "keep_within" and isinstance(word, str):
            return parse_duration(word)
        if name == "max_size" and isinstance(word, str):
            return parse_size(word)
    except UsageError as error:
        raise error if error.message.startswith(name) else UsageError(f"{name}: {error}", hint=error.hint) from None
    if name == "keep_within" and not isinstance(word, timedelta):
        raise UsageError(f"keep_within: {word!r} has no unit", hint='for example "7d"')
    if name == "keep_tags":
        if not isinstance(word, (str, list, tuple, set, frozenset)):
            raise UsageError(f"keep_tags: {word!r} is not a list of tags", hint="for example [release, paper]")
        return frozenset([word]) if isinstance(word, str) else frozenset(map(_tag, word))
    return word


def _tag(tag: object) -> str:
    if not isinstance(tag, str):
        raise UsageError(f"keep_tags: {tag!r} is not text", hint="put it in quotes")
    return tag


def _count(name: str, word: str) -> int:
    digits = word.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 30):
        hint = 'write a whole number, or "all"' if name == "keep_last" else "write a whole number"
        raise UsageError(f"{name}: {word[:80]!r} is not a whole number", hint=hint)
    return int(word)


def _check_count(name: str, value: object) -> None:
    if value is None:
        return
    if type(value) is not int:
        raise UsageError(f"{name}: {value!r} is not a whole number", hint="for example 3")
    if not 1 <= value <= MAX_COUNT:
        hint = 'to keep all of them write keep_last "all"; to switch a rule off leave it out'
        raise UsageError(f"{name}: {value} is not from 1 to {MAX_COUNT}", hint=hint)
