"""Verification reports as table, tsv, json and ndjson."""

from collections.abc import Iterator
from typing import Any

from ckptkit.cli import output
from ckptkit.verification import CheckpointReport, Report

COLUMNS = ("CHECKPOINT", "RESULT", "LEVEL", "FILES", "BYTES", "ITEM", "FILE", "CODE", "MESSAGE")


def result(report: CheckpointReport) -> str:
    """Return ``ok``, ``damaged`` or ``unsafe``."""
    if report.good:
        return "ok"
    return "unsafe" if any(p.severity == "unsafe" for p in report.problems) else "damaged"


def write(report: Report, format_: str) -> None:
    """Print the report; a row per problem, or one row for a checkpoint without problems."""
    if format_ in ("json", "ndjson"):
        extra = {"level": report.level, "exit_code": report.exit_code, "coverage": coverage(report)}
        output.rows(format_, "checkpoints", COLUMNS, (((), fields(c)) for c in report.checkpoints), extra)
        return
    if report.checkpoints:
        cells: Iterator[tuple[list[object], dict[str, Any]]] = (
            (row, {}) for c in report.checkpoints for row in _rows(c, exact=format_ == "tsv")
        )
        output.rows(format_, "checkpoints", COLUMNS, cells)


def _rows(c: CheckpointReport, *, exact: bool) -> Iterator[list[object]]:
    size = c.bytes_read if exact else output.size(c.bytes_read)
    head = [c.at.ref, result(c), c.level, c.files_checked, size]
    notes = [[p.item or "", p.file or "", p.code, p.message] for p in c.problems]
    notes += [
        [name, "", f"resume-{p.verdict}", p.reason or ""] for name, p in c.proofs.items() if p.verdict != "differs"
    ]
    if not notes:
        yield [*head, "", "", "", ""]
    for index, note in enumerate(notes):
        yield [*(head if exact or index == 0 else ["", "", "", "", ""]), *note]


def coverage(report: Report) -> dict[str, int]:
    """Return how much was looked at: nothing checked is never ok."""
    return {
        "checkpoints": len(report.checkpoints),
        "files": sum(c.files_checked for c in report.checkpoints),
        "bytes": sum(c.bytes_read for c in report.checkpoints),
    }


def fields(c: CheckpointReport) -> dict[str, Any]:
    """Return one checkpoint's report as JSON fields."""
    return {
        "ref": c.at.ref,
        "run": c.at.run,
        "step": c.at.step,
        "path": str(c.at.manifest if c.at.sidecar else c.at.folder),
        "result": result(c),
        "level": c.level,
        "files": c.files_checked,
        "bytes": c.bytes_read,
        "problems": [
            {"code": p.code, "severity": p.severity, "item": p.item, "file": p.file, "message": p.message}
            for p in c.problems
        ],
        "proofs": {name: {"verdict": p.verdict, "reason": p.reason} for name, p in c.proofs.items()},
    }


def talk(report: Report) -> Iterator[str]:
    """Yield what a person wants to know beside the rows: coverage, and what can still be resumed."""
    covered = coverage(report)
    bad = [c for c in report.checkpoints if not c.good]
    verdict = "all good" if not bad else f"{len(bad)} not good"
    yield (
        f"verified {covered['checkpoints']} checkpoints on level {report.level}: {verdict} "
        f"({covered['files']} files, {output.size(covered['bytes'])} read)"
    )
    for run in sorted({c.at.run for c in bad}):
        good = [c.at.step for c in report.checkpoints if c.at.run == run and c.good]
        if good:
            yield f"{output.safe(run)}: last good: step {good[-1]}"
        else:
            yield f"{output.safe(run)}: none of those checked can be resumed from"
