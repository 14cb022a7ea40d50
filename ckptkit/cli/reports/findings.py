"""What a verification found, one by one, as the formats for code hosts and test servers tell it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckptkit.cli.reports import lines
from ckptkit.problem import Problem, Severity
from ckptkit.verification import CheckpointReport, Report, mark

_WORST_FIRST = ("unsafe", "error", "unjudged", "warning")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and whose it is.

    Attributes:
        subject: the checkpoint's reference, or the name of a run.
        path: the file that it is about (of a checkpoint without one the manifest), relative to the current folder.
        problem: what was found.
        verdict: of what is no problem: ``resume-same``, ``resume-unproven`` or ``rule-met``; else empty.
        known: it is in the baseline, and fails nothing.
    """

    subject: str
    path: str
    problem: Problem
    verdict: str = ""
    known: bool = False

    @property
    def severity(self) -> Severity:
        """That of the problem; a warning where it is known."""
        return "warning" if self.known else self.problem.severity

    @property
    def message(self) -> str:
        """That of the problem, and whether it is known."""
        return f"{self.problem.message} (known)" if self.known else self.problem.message

    @property
    def mark(self) -> str:
        """What stays equal while the same finding stays."""
        p = self.problem
        name = "\0".join((self.subject, p.item or "", p.file or "", p.code))
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def problems(report: Report) -> list[Finding]:
    """Return the problems of checkpoints, then those of pins and tags of runs, then rules that are not met."""
    found = [(c.at.ref, path_of(c, p), p) for c in report.checkpoints for p in c.problems]
    found += [(m.run, relative(m.path), m.problem) for m in report.refs]
    found += [(r.run, relative(r.path), r.problem) for r in report.rules if r.problem is not None]
    return [Finding(subject, path, p, known=mark(subject, p) in report.known) for subject, path, p in found]


def proofs(report: Report) -> Iterator[Finding]:
    """Yield what is no problem: what was replayed and is the same, what could not be replayed, rules that are met."""
    for c in report.checkpoints:
        for item, code, text in lines.told(c):
            p = Problem(code, text, item=item, severity="warning")
            yield Finding(c.at.ref, path_of(c, p), p, verdict=code)
    for r in report.rules:
        if r.problem is None:
            p = Problem("rule-met", f"{r.rule} is met: {r.message}", item=r.rule, severity="warning")
            yield Finding(r.run, relative(r.path), p, verdict="rule-met")


def worst_first(found: list[Finding]) -> list[Finding]:
    """Return them by severity, and of one severity in the order in which they were found."""
    return sorted(found, key=lambda one: _WORST_FIRST.index(one.severity))


def path_of(c: CheckpointReport, p: Problem) -> str:
    """Return the file that a problem is about; the manifest when it is about no file."""
    return relative(c.at.storage.where(c.at, p.file or c.at.manifest_file))


def relative(place: str) -> str:
    """Return a path as code hosts want it: they attach a finding to a file only by its path in the repository."""
    if "://" in place:  # a store on a service
        return place
    here, path = Path.cwd(), Path(place)
    return str(path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path)
