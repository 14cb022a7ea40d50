"""What the checks of a dataset found, as data: findings with stable codes, results per check, one report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.problem import Problem, Severity, fails

MOST = 100  # findings of one code that are kept; what is beyond is counted


@dataclass(frozen=True, slots=True)
class Finding(Problem):
    """A problem of a dataset, with the place in numbers.

    Attributes:
        episode: the ``episode_index`` it is about.
        frame: offset from the start of the episode, in frames.
        length: how many frames it concerns, of which ``frame`` is the first.
        other_episode: the other episode of a pair.
        other_frame: offset in the other episode.
    """

    episode: int | None = None
    frame: int | None = None
    length: int | None = None
    other_episode: int | None = None
    other_frame: int | None = None


class Findings:
    """Collects findings; after the first hundred of a code the rest are only counted."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._counts: Counter[tuple[str, Severity]] = Counter()

    def add(self, code: str, message: str, *, severity: Severity = "error", **where: Any) -> None:
        """Add one finding; ``where`` holds ``file``, ``episode``, ``frame`` and the like."""
        self._counts[code, severity] += 1
        if self._counts[code, severity] <= MOST:
            self._kept.append(Finding(code, message, severity=severity, **where))

    def all(self) -> tuple[Finding, ...]:
        """Return the findings, and one more per code that was cut."""
        cut = [
            Finding(code, f"and {count - MOST} more of this kind", severity=severity)
            for (code, severity), count in self._counts.items()
            if count > MOST
        ]
        return (*self._kept, *cut)


@dataclass(frozen=True, slots=True)
class TestResult:
    """One check's result.

    Attributes:
        name: stable name, the key in the results.
        title: the same for people.
        findings: what it found; warnings do not fail it.
        measures: numbers besides the findings (shares are fractions of 1).
        skipped: why it could not check anything, or None.
    """

    __test__ = False  # not a test of pytest's

    name: str
    title: str
    findings: tuple[Finding, ...] = ()
    measures: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it checked, and found nothing but warnings."""
        return self.skipped is None and not fails(self.findings)

    @property
    def verdict(self) -> str:
        """``ok``, ``failed`` or ``skipped``."""
        return "skipped" if self.skipped else "ok" if self.passed else "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """Results of all checks of one dataset.

    Attributes:
        root: the dataset's folder.
        layout: the dataset's version as its ``info.json`` gives it, or "" when that cannot be read.
        results: in the order of the checks.
        episodes: episodes found in the data.
        frames: frames read.
        files: data files read to their end.
    """

    root: str
    layout: str
    results: Sequence[TestResult]
    episodes: int = 0
    frames: int = 0
    files: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All findings, with ``item`` naming the check."""
        from dataclasses import replace

        return [replace(f, item=r.name) for r in self.results for f in r.findings]

    @property
    def exit_code(self) -> int:
        """0 nothing found, 1 findings, 4 there was nothing to check, 5 a path that leaves the dataset."""
        found = self.findings
        if any(f.severity == "unsafe" for f in found):
            return 5
        if fails(found):
            return 1
        return 0 if self.frames else 4
