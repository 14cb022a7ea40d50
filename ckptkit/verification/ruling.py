"""Judge runs by rules: only what verified just now counts, whatever a manifest or an earlier verification says."""

import time
from collections.abc import Callable, Iterable, Sequence

from ckptkit.catalog import shown
from ckptkit.errors import UsageError
from ckptkit.problem import Problem
from ckptkit.rules import EXACT, FROM_BEST, Rule, parse
from ckptkit.verification.report import CheckpointReport, RuleReport

_SKEW = 300.0  # seconds that two clocks may differ by

Rules = Callable[[str], Sequence[Rule]]
"""Says which rules a run must meet."""


def rules_of(rules: Sequence[str] | Rules) -> Rules:
    """Return what says which rules a run must meet.

    Raises:
        UsageError: one of them is no rule.
    """
    if callable(rules):
        return rules
    parsed = [parse(text) for text in rules]
    return lambda run: parsed


def judged(
    reports: Sequence[CheckpointReport],
    rules_of: Rules,
    expected: Iterable[str] = (),
    now: float | None = None,
    *,
    signers: bool = False,
) -> Sequence[RuleReport]:
    """Return what each rule says of each run, in order of runs and rules.

    Args:
        reports: what was looked at, by run and step.
        rules_of: the rules of a run.
        expected: runs that must be there, too.
        now: seconds since 1970; the clock's when left out.
        signers: whether signatures were asked for: without them nobody has signed anything.

    Raises:
        UsageError: a rule about signatures, and nobody said which keys count.
    """
    runs: dict[str, list[CheckpointReport]] = {run: [] for run in expected}
    for one in reports:
        runs.setdefault(one.at.run, []).append(one)
    moment, result = time.time() if now is None else now, []
    for run, mine in sorted(runs.items()):
        for rule in rules_of(run):
            if rule.name == "signed-by" and not signers:
                hint = "say it with --require-signature, in Python with signers="
                raise UsageError(f"rule {rule.text!r}: nobody said whose signatures count", hint=hint)
            met, message = _JUDGES[rule.name](rule, mine, moment)
            where = mine[-1].at.storage.where(mine[-1].at, mine[-1].at.manifest_file) if mine else run
            problem = None if met else Problem("rule-not-met", f"{rule.text} is not met: {message}", item=rule.text)
            result.append(RuleReport(run, rule.text, message, where, problem))
    return result


def _good(reports: Sequence[CheckpointReport]) -> list[CheckpointReport]:
    return [one for one in reports if one.good]


def _none(reports: Sequence[CheckpointReport]) -> str:
    return "none of those checked is good" if reports else "there is no checkpoint"


def _grade(rule: Rule, reports: Sequence[CheckpointReport], now: float) -> tuple[bool, str]:
    if not (good := _good(reports)):
        return False, _none(reports)
    newest = good[-1]
    assert newest.manifest is not None
    word: str = newest.manifest.grade
    most = shown.most(shown.read(newest.at, newest.manifest.digest))
    if most is not None and most.exact:
        word = EXACT
    place = FROM_BEST.index(word)
    how = "shown to resume exactly" if word == EXACT else f"{word}, and not shown to resume exactly"
    if FROM_BEST[rule.value] != EXACT and word != EXACT:
        how = word
    return place == rule.value if rule.compare == "==" else place <= rule.value, f"{newest.at.ref} is {how}"


def _age(rule: Rule, reports: Sequence[CheckpointReport], now: float) -> tuple[bool, str]:
    if not (good := _good(reports)):
        return False, _none(reports)
    saved = {one.at.ref: one.saved_at or 0.0 for one in good}
    last = max(saved, key=lambda ref: saved[ref])
    age = now - saved[last]
    if age < -_SKEW:
        return False, f"{last}, the last good one, is dated {_words(-age)} ahead of this clock: one of the two is wrong"
    age = max(0.0, age)
    met = age < rule.value if rule.compare == "<" else age <= rule.value
    return met, f"{last}, the last good one, was saved {_words(age)} ago"


def _words(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _count(rule: Rule, reports: Sequence[CheckpointReport], now: float) -> tuple[bool, str]:
    found = len(_good(reports))
    return found >= rule.value, f"{found} of {len(reports)} that were checked {'is' if found == 1 else 'are'} good"


def _bad(rule: Rule, reports: Sequence[CheckpointReport], now: float) -> tuple[bool, str]:
    found = [one for one in reports if rule.name == ("unsafe" if _unsafe(one) else "damaged") and _failed(one)]
    met = len(found) == rule.value if rule.compare == "==" else len(found) <= rule.value
    return met, f"{len(found)} of {len(reports)} that were checked {'is' if len(found) == 1 else 'are'} {rule.name}"


def _unsafe(one: CheckpointReport) -> bool:
    return any(p.severity == "unsafe" for p in one.problems)


def _failed(one: CheckpointReport) -> bool:
    return not (one.good or one.not_judged)


def _signed(rule: Rule, reports: Sequence[CheckpointReport], now: float) -> tuple[bool, str]:
    if not (good := _good(reports)):
        return False, _none(reports)
    names = ", ".join(good[-1].signed_by) or "nobody who is trusted"
    return rule.value in good[-1].signed_by, f"{good[-1].at.ref} is signed by {names}"


_JUDGES: dict[str, Callable[[Rule, Sequence[CheckpointReport], float], tuple[bool, str]]] = {
    "grade": _grade,
    "age": _age,
    "count": _count,
    "damaged": _bad,
    "unsafe": _bad,
    "signed-by": _signed,
}
