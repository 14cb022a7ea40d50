"""Verification reports as table, tsv, json and ndjson."""

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from ckptkit.backend import Proof
from ckptkit.cli import output
from ckptkit.cli.failing import Failure
from ckptkit.cli.reports import verdicts
from ckptkit.problem import Problem
from ckptkit.verification import CheckpointReport, Mark, RefsReport, Report, RuleReport, mark

RESULTS = ("ok", "unproven", "not-judged", "damaged", "unsafe")
COLUMNS = ("CHECKPOINT", "RESULT", "LEVEL", "FILES", "BYTES", "ITEM", "FILE", "CODE", "MESSAGE")


def result(report: CheckpointReport) -> str:
    """Return the one of ``RESULTS`` that says what was found."""
    if report.good:
        return "unproven" if report.unproven else "ok"
    if report.not_judged:
        return "not-judged"
    return "unsafe" if any(p.severity == "unsafe" for p in report.problems) else "damaged"


def write(report: Report, format_: str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Print the report: for programs a row per problem, for a person a row per checkpoint and the problems below it.

    With ``verbose`` also each name that a problem counts.
    """
    if format_ == "json":
        sys.stdout.write(document(report))
    elif format_ == "ndjson":
        output.rows(format_, "checkpoints", COLUMNS, (((), fields(c, report.known)) for c in report.checkpoints))
        more = [_run_fields(m, report.known) for m in report.refs]
        for told_of in [*more, *(_rule_fields(one, report.known) for one in report.rules)]:
            output.line(output.dump({"schema_version": output.SCHEMA_VERSION, **told_of}))
    elif format_ == "tsv" and (report.checkpoints or report.rules):
        rows = [row for c in report.checkpoints for row in _rows(c, verbose)] + [_run_row(m) for m in report.refs]
        rows += [_rule_row(one) for one in report.rules]
        output.rows(format_, "checkpoints", COLUMNS, ((row, {}) for row in rows))
    elif report.checkpoints or report.rules:
        heads: Iterator[tuple[list[object], dict[str, Any]]] = (
            ([*_head(c)[:4], output.size(c.bytes_read)], {}) for c in report.checkpoints
        )
        optional = ("FILES", "LEVEL", "BYTES")
        output.rows(
            format_, "checkpoints", COLUMNS[:5], heads, spare=optional, names=COLUMNS[:1], prose=(), quiet=quiet
        )
        output.notes(
            f"  {c.at.ref}: {file or item or 'manifest'}: {message} [{code}]"
            for c in report.checkpoints
            for item, file, code, message in _notes(c, verbose)
        )
        output.notes(f"  {m.run}: {m.problem.file}: {m.problem.message} [{m.problem.code}]" for m in report.refs)
        output.notes(f"  {one.run}: {_rule_words(one)} [{_rule_code(one)}]" for one in report.rules)


def document(report: Report) -> str:
    """Return the report as one JSON document."""
    found = {
        "schema_version": output.SCHEMA_VERSION,
        "checkpoints": [fields(c, report.known) for c in report.checkpoints],
        "level": report.level,
        "verdict": verdicts.of(report)[0],
        "exit_code": report.exit_code,
        "counts": counts(report),
        "coverage": coverage(report),
        "runs": [_run_fields(m, report.known) for m in report.refs],
        "rules": [_rule_fields(one, report.known) for one in report.rules],
        "fixed": [{"subject": s, "item": i or None, "file": f or None, "code": c} for s, i, f, c in report.fixed],
        "gone": list(report.gone),
    }
    return output.dump(found, indent=2) + "\n"


def failed(failure: Failure) -> str:
    """Return the JSON document of a verification that could not be done."""
    told = {"schema_version": output.SCHEMA_VERSION, "checkpoints": [], "verdict": verdicts.BROKEN, **asdict(failure)}
    return output.dump(told, indent=2) + "\n"


def _head(c: CheckpointReport) -> list[object]:
    return [c.at.ref, result(c), c.level, c.files_checked, c.bytes_read]


def _notes(c: CheckpointReport, verbose: bool) -> list[tuple[str, str, str, str]]:
    notes = []
    for p in c.problems:
        lines = [p.message]
        if len(p.names) > 1:
            lines = [p.message, *p.names] if verbose else [f"{p.message} (--verbose lists them)"]
        notes += [(p.item or "", p.file or "", p.code, line) for line in lines]
    notes += [("", "", "signed", f"by {name}") for name in c.signed_by]
    return notes + [(name, "", code, text) for name, code, text in told(c)]


def told(c: CheckpointReport) -> Iterator[tuple[str, str, str]]:
    """Yield item, code and words of each proof that is no problem: what was replayed, or why nothing was."""
    for name, proof in c.proofs.items():
        if "differs" not in proof.verdict:  # those are problems, and told already
            yield name, f"resume-{proof.verdict}", replayed(proof)


def replayed(proof: Proof) -> str:
    """Return in words what a replay showed, and of how much: never more than was compared."""
    if proof.verdict != "same":
        return proof.reason or "nothing was replayed"
    text = f"replayed {proof.steps} {proof.of}, the same" if proof.steps else "put back, equal to what was saved"
    return text + (f" ({proof.reason})" if proof.reason else "")


def _rows(c: CheckpointReport, verbose: bool) -> Iterator[list[object]]:
    for note in _notes(c, verbose) or [("", "", "", "")]:
        yield [*_head(c), *note]


def _run_row(m: RefsReport) -> list[object]:
    return [m.run, "damaged", "", "", "", "", m.problem.file, m.problem.code, m.problem.message]


def _rule_code(one: RuleReport) -> str:
    return "rule-met" if one.problem is None else "rule-not-met"


def _rule_words(one: RuleReport) -> str:
    return f"{one.rule} is {'met' if one.problem is None else 'not met'}: {one.message}"


def _rule_row(one: RuleReport) -> list[object]:
    result = "ok" if one.problem is None else "not-met"
    return [one.run, result, "", "", "", "", "", _rule_code(one), _rule_words(one)]


def _rule_fields(one: RuleReport, known: Collection[Mark]) -> dict[str, Any]:
    fields = {"run": one.run, "rule": one.rule, "met": one.problem is None, "message": one.message, "path": one.path}
    return fields | _known(one.problem is not None and mark(one.run, one.problem) in known)


def _known(known: bool) -> dict[str, bool]:
    return {"known": True} if known else {}


def named(one: Mark) -> str:
    """Return a finding of a baseline in words."""
    subject, item, file, code = one
    return ": ".join(word for word in (subject, file or item, code) if word)


def _run_fields(m: RefsReport, known: Collection[Mark] = ()) -> dict[str, Any]:
    problem = _problem_fields(m.problem) | _known(mark(m.run, m.problem) in known)
    return {"run": m.run, "step": None, "path": str(m.path), "result": "damaged", "problems": [problem]}


def coverage(report: Report) -> dict[str, int]:
    """Return how much was looked at: nothing checked is never ok."""
    return {
        "checkpoints": len(report.checkpoints),
        "files": sum(c.files_checked for c in report.checkpoints),
        "bytes": sum(c.bytes_read for c in report.checkpoints),
    }


def counts(report: Report) -> dict[str, int]:
    """Return how many checkpoints have each result."""
    found = Counter(result(c) for c in report.checkpoints)
    return {word: found[word] for word in RESULTS}


def fields(c: CheckpointReport, known: Collection[Mark] = ()) -> dict[str, Any]:
    """Return one checkpoint's report as JSON fields."""
    return {
        "ref": c.at.ref,
        "run": c.at.run,
        "step": c.at.step,
        "path": c.at.where,
        "result": result(c),
        "level": c.level,
        "files": c.files_checked,
        "bytes": c.bytes_read,
        "trusted_since": None if c.known_since is None else output.moment(c.known_since),
        "problems": [_problem_fields(p) | _known(mark(c.at.ref, p) in known) for p in c.problems],
        "signed_by": list(c.signed_by),
        "proofs": {name: asdict(proof) for name, proof in c.proofs.items()},
    }


def _problem_fields(p: Problem) -> dict[str, Any]:
    fields: dict[str, Any] = {"code": p.code, "severity": p.severity, "item": p.item, "file": p.file}
    return {**fields, "message": p.message, **({"names": p.names} if p.names else {})}


def remarks(report: Report) -> Iterator[str]:
    """Yield what a person wants to know beside the rows: coverage, and what can still be resumed."""
    covered = coverage(report)
    bad = [c for c in report.checkpoints if not (c.good or c.not_judged)]
    left = [c for c in report.checkpoints if c.not_judged]
    conclusion = f"{len(bad)} not good" if bad else "nothing is damaged" if left else "all good"
    conclusion += f", pins and tags of {output.count(len(report.refs), 'run')} damaged" if report.refs else ""
    conclusion += f", {len(left)} not judged" if left else ""
    unproven = sum(bool(c.unproven) for c in report.checkpoints)
    conclusion += f", {unproven} not proven to resume" if unproven else ""
    unmet = sum(one.problem is not None for one in report.rules)
    conclusion += f", {unmet} of {output.count(len(report.rules), 'rule')} not met" if unmet else ""
    yield (
        f"verified {output.count(covered['checkpoints'], 'checkpoint')} on level {report.level}: {conclusion} "
        f"({output.count(covered['files'], 'file')}, {output.size(covered['bytes'])} read)"
    )
    known = sum(mark(subject, p) in report.known for subject, p in report.all_findings)
    if known:
        yield f"{output.count(known, 'finding')} of the baseline: known, and no reason to fail"
    for one in report.fixed:
        yield f"no longer found, of the baseline: {output.safe(named(one))}"
    if report.gone:
        yield f"removed while they were looked at, and not judged: {output.safe(', '.join(report.gone))}"
    for m in report.refs:
        yield f"{output.safe(m.run)}: its pins and tags are damaged, so nothing is pruned there: {output.safe(m.path)}"
    for hint in dict.fromkeys(p.message for c in left for p in c.problems if p.severity == "unjudged"):
        yield output.safe(hint)
    for run in sorted({c.at.run for c in bad}):
        good = [c.at.step for c in report.checkpoints if c.at.run == run and c.good]
        if good:
            yield f"{output.safe(run)}: last good: step {good[-1]}"
        else:
            yield f"{output.safe(run)}: none of those checked is good; `ckptkit resume-cmd` looks at the whole run"
