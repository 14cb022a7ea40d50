"""What a verification found, as data: problems per checkpoint, what was read, what was proven."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from ckptkit.backend import Proof
from ckptkit.manifest.models import Manifest
from ckptkit.problem import Problem, fails
from ckptkit.renamed import warn
from ckptkit.storage import Entry

Level = Literal["presence", "digest", "format", "resume"]
REHEARSED = "(run)"
"""Name of the verdict on a rehearsal of the whole run among the items' proofs."""
AS_THE_RUN = "steps as the run itself did them"
"""What a rehearsal says it compared with the run that saved; only this shows that a resume is exact."""
AS_EACH_OTHER = "steps of two resumes with each other (what the run itself did next was not noted)"
LEVELS: tuple[Level, ...] = ("presence", "digest", "format", "resume")


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """One checkpoint's result.

    Attributes:
        at: where it is.
        level: how far it was asked to look.
        manifest: the manifest, or None when it cannot be read.
        problems: what was found; damaged files are all listed.
        files_checked: payload files looked at on this level.
        bytes_read: payload bytes read for digests.
        proofs: results of the ``resume`` level, by item.
        gone: it was removed before all of it was looked at; nothing is said about it.
        known_since: when it was verified (seconds since 1970, UTC), where the ledger was trusted and no file was read.
        signed_by: whose signatures count, where that was asked for.
        began: when looking at it began (seconds since 1970, UTC).
        seconds: how long that took.
    """

    at: Entry
    level: Level
    manifest: Manifest | None
    problems: Sequence[Problem] = ()
    files_checked: int = 0
    bytes_read: int = 0
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    gone: bool = False
    known_since: float | None = None
    signed_by: tuple[str, ...] = ()
    began: float = field(default=0.0, compare=False)
    seconds: float = field(default=0.0, compare=False)

    @property
    def good(self) -> bool:
        """Whether it may be resumed from: something was checked, and nothing but warnings was found."""
        return self.manifest is not None and self.files_checked > 0 and not fails(self.problems)

    @property
    def saved_at(self) -> float | None:
        """When it was saved (seconds since 1970, UTC), by its manifest; None without one."""
        return None if self.manifest is None else datetime.fromisoformat(self.manifest.created_at).timestamp()

    @property
    def not_judged(self) -> bool:
        """Whether nothing wrong was found, but this installation cannot look into all of it."""
        severities = {p.severity for p in self.problems}
        return "unjudged" in severities and severities.isdisjoint(("error", "unsafe"))

    @property
    def unread(self) -> bool:
        """Whether all that is wrong is that files could not be read: nobody knows that they are damaged."""
        wrong = [problem for problem in self.problems if problem.severity in ("error", "unsafe")]
        return bool(wrong) and all(problem.code == "file-unreadable" for problem in wrong)

    @property
    def unsigned(self) -> bool:
        """Whether all that is wrong is that nobody who is trusted has signed it."""
        wrong = [problem for problem in self.problems if problem.severity in ("error", "unsafe")]
        return bool(wrong) and all(problem.code.startswith("signature-") for problem in wrong)

    @property
    def unproven(self) -> Sequence[str]:
        """Items that the level ``resume`` could neither prove nor disprove to resume.

        A rehearsal that matched the run has proven every item too.
        """
        rehearsed = self.proofs.get(REHEARSED)
        if rehearsed is not None and rehearsed.verdict == "same" and rehearsed.of == AS_THE_RUN:
            return []
        return [name for name, proof in self.proofs.items() if proof.verdict == "unproven"]

    def rehearsed(self, proof: Proof) -> "CheckpointReport":
        """Return it with the verdict on a rehearsal of the whole run; one that differs is a problem."""
        problems = list(self.problems)
        if proof.verdict == "differs":
            problems.append(Problem("rehearsal-differs", proof.reason or "differs", item=REHEARSED))
        return replace(self, proofs={**self.proofs, REHEARSED: proof}, problems=problems)

    @property
    def reason(self) -> str:
        """One line for people: the first problem that fails it, or else why it could not be judged."""
        if self.gone:
            return "was removed meanwhile"
        failing = [p for p in self.problems if p.severity not in ("warning", "unjudged")]
        failing = failing or [p for p in self.problems if p.severity == "unjudged"]
        if not failing:
            return "nothing to check" if not self.good else ""
        first = failing[0]
        where = f"{first.file}: " if first.file else ""
        return where + first.message + (f" (and {len(failing) - 1} more)" if len(failing) > 1 else "")


@dataclass(frozen=True, slots=True)
class RefsReport:
    """What is wrong with the pins and tags of a run. Its checkpoints are as good as they were.

    Attributes:
        run: name of the run.
        path: the file.
        problem: what was found.
    """

    run: str
    path: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class RuleReport:
    """What a rule says of a run.

    Attributes:
        run: name of the run.
        rule: as it is written: ``age<24h``.
        message: what was found, in words.
        path: of the manifest of the newest checkpoint that was looked at; the run's name where there was none.
        problem: None if it is met.
    """

    run: str
    rule: str
    message: str
    path: str
    problem: Problem | None = None


Mark = tuple[str, str, str, str]
"""What stays equal while the same finding stays: checkpoint or run, item, file and code."""


def mark(subject: str, problem: Problem) -> Mark:
    """Return the mark of a finding."""
    return (subject, problem.item or "", problem.file or "", problem.code)


@dataclass(frozen=True, slots=True)
class Report:
    """Results of many checkpoints, of rules, and of pins and tags of runs if they are damaged.

    Attributes:
        level: the lowest that was asked for.
        checkpoints: what was looked at.
        refs: pins and tags that are damaged.
        gone: references of what was removed while it was looked at.
        rules: what each rule says of each run.
        known: findings of a baseline: they do not fail the verification, and make nothing good that is not.
    """

    level: Level
    checkpoints: Sequence[CheckpointReport]
    refs: Sequence[RefsReport] = ()
    gone: Sequence[str] = ()
    rules: Sequence[RuleReport] = ()
    known: Collection[Mark] = ()

    @property
    def marks(self) -> Sequence[RefsReport]:
        """The old name of ``refs``, for one more version."""
        warn("Report.marks", "Report.refs")
        return self.refs

    @classmethod
    def of(cls, level: Level, reports: Iterable[CheckpointReport], refs: Sequence[RefsReport] = ()) -> "Report":
        """Return the report of what is still there."""
        found = list(reports)
        there = [report for report in found if not report.gone]
        return cls(level, there, refs, [report.at.ref for report in found if report.gone])

    @property
    def findings(self) -> Sequence[tuple[str, Problem]]:
        """What each finding is about, and the finding, but for those of the baseline."""
        return [
            (subject, problem) for subject, problem in self.all_findings if mark(subject, problem) not in self.known
        ]

    @property
    def fixed(self) -> Sequence[Mark]:
        """Findings of the baseline that are found no more, of what was looked at."""
        found = {mark(subject, problem) for subject, problem in self.all_findings}
        looked_at = {c.at.ref for c in self.checkpoints} | {c.at.run for c in self.checkpoints}
        return sorted(one for one in self.known if one not in found and one[0] in looked_at)

    @property
    def all_findings(self) -> Iterator[tuple[str, Problem]]:
        """Yield the same of all of them."""
        for c in self.checkpoints:
            yield from ((c.at.ref, problem) for problem in c.problems)
        yield from ((m.run, m.problem) for m in self.refs)
        yield from ((rule.run, rule.problem) for rule in self.rules if rule.problem is not None)

    def _known(self, c: CheckpointReport) -> bool:
        failing = [p for p in c.problems if p.severity != "warning"]
        return bool(failing) and all(mark(c.at.ref, p) in self.known for p in failing)

    @property
    def exit_code(self) -> int:
        """0 ok, 1 problems, 3 unproven, 4 nothing to check, 5 unsafe content, 7 not judged or a broken backend."""
        found = [problem for _, problem in self.findings if problem.severity != "warning"]
        if any(p.severity == "unsafe" for p in found):
            return 5
        if found:
            return 7 if all(p.severity == "unjudged" or p.code == "backend-failed" for p in found) else 1
        if not self.checkpoints:
            return 4
        if not all(c.good or self._known(c) for c in self.checkpoints):
            return 1
        return 3 if any(c.unproven for c in self.checkpoints) else 0
