"""`ckptkit check-data`: gate a dataset as `ckptkit verify` gates checkpoints."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ckptkit.cli import output
from ckptkit.cli.progress import bytes_progress
from ckptkit.cli.session import session_of
from ckptkit_data import junit as junit_report
from ckptkit_data import text
from ckptkit_data.findings import Report, TestResult
from ckptkit_data.tester import DatasetLeakageTester

COLUMNS = ("CHECK", "RESULT", "SEVERITY", "CODE", "EPISODE", "FRAME", "FILE", "MESSAGE")


def check_data(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A LeRobot dataset: the folder of meta/ and data/.")],
    near: Annotated[
        float | None, typer.Option("--near", metavar="TOL", help="Also find copies that differ by at most TOL.")
    ] = None,
    min_run: Annotated[
        int,
        typer.Option("--min-run", metavar="N", help="This many different frames in two episodes are a finding."),
    ] = 5,
    allow_shared_frames: Annotated[
        int, typer.Option("--allow-shared-frames", metavar="N", help="This many different frames may be in two splits.")
    ] = 0,
    max_duplicates: Annotated[
        float | None,
        typer.Option("--max-duplicates", metavar="SHARE", help="Fail above this share of repeated frames."),
    ] = None,
    format_: Annotated[
        Literal["table", "tsv", "json", "ndjson", "junit"] | None,
        typer.Option("--format", help="How to print; a table on a terminal, else tsv.", show_default=False),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML.")] = None,
) -> int:
    """Check a LeRobot dataset for leaks: frames and episodes that two splits share.

    Examples:
        ckptkit check-data data/robot
        ckptkit check-data data/robot --near 0.001 --junit leaks.xml

    Exit codes:
        0: There is no leak.
        1: Something was found.
        4: There is nothing to check.
        5: A path leaves the dataset.
    """
    quiet = session_of(context).quiet
    tester = DatasetLeakageTester(
        root, near=near, min_run=min_run, max_duplicates=max_duplicates, allow_shared_frames=allow_shared_frames
    )
    with bytes_progress("check-data", tester.total_bytes() or None, quiet=quiet) as advance:
        tester.run_all_tests(on_bytes=advance)
    report = tester.report
    write(report, output.chosen(format_))
    if junit is not None:
        junit.write_text(junit_report.render(report), encoding="utf-8")
    output.echo(f"{text.counts(report)}; {text.conclusion(report)}", quiet=quiet)
    if report.exit_code:
        output.echo("  docs/how-to/check-a-dataset.md says what each code means and what to do", quiet=quiet)
    return report.exit_code


def write(report: Report, format_: str) -> None:
    """Print the report on stdout: for programs a row per finding, for people one per check with findings below."""
    if format_ == "junit":
        sys.stdout.write(junit_report.render(report))
    elif format_ == "table":
        cells = ((r.title, r.verdict, str(len(r.findings) or ""), text.note(r).strip(" ()")) for r in report.results)
        output.rows(format_, "checks", ("CHECK", "RESULT", "FINDINGS", "NOTE"), ((c, {}) for c in cells))
        for result in report.results:
            for finding in result.findings[: text.SHOWN]:
                output.line(f"  {text.finding_line(finding)}")
            if len(result.findings) > text.SHOWN:
                output.line(f"  and {len(result.findings) - text.SHOWN} more of {result.title}; --format json has more")
    elif format_ == "tsv":
        output.rows(format_, "checks", COLUMNS, ((row, {}) for r in report.results for row in _rows(r)))
    else:
        extra = {
            "root": report.root,
            "layout": report.layout,
            "exit_code": report.exit_code,
            "coverage": {"episodes": report.episodes, "frames": report.frames, "files": report.files},
        }
        output.rows(format_, "checks", COLUMNS, (((), _fields(r)) for r in report.results), extra)


def _rows(result: TestResult) -> Iterator[list[object]]:
    for f in result.findings:
        place = ["" if f.episode is None else f.episode, "" if f.frame is None else f.frame]
        yield [result.name, result.verdict, f.severity, f.code, *place, f.file or "", f.message]
    if not result.findings:
        yield [result.name, result.verdict, "", "", "", "", "", result.skipped or ""]


def _fields(result: TestResult) -> dict[str, Any]:
    findings = []
    for f in result.findings:
        fields = {name: getattr(f, name) for name in ("code", "message", "severity", "file")}
        for name in ("episode", "frame", "length", "other_episode", "other_frame"):
            if getattr(f, name) is not None:
                fields[name] = getattr(f, name)
        findings.append(fields)
    return {
        "check": result.name,
        "result": result.verdict,
        "skipped": result.skipped,
        "measures": dict(result.measures),
        "findings": findings,
    }
