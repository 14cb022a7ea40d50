"""The report as text for a person."""

from ckptkit.formats.escaped import escaped
from ckptkit_data.findings import Finding, Report, TestResult

SHOWN = 20  # findings printed per check; the JSON output has them all

_SPREAD = "_in_more_than_one_episode"
_SPLITS = "_in_two_splits"


def rendered(report: Report) -> str:
    """Return the whole report, lines joined."""
    lines = [f"Dataset leakage report: {escaped(report.root, 500)}", counts(report), ""]
    for result in report.results:
        lines.append(f"{result.verdict.upper():8}{result.title}{note(result)}")
        lines += [f"          {finding_line(f)}" for f in result.findings[:SHOWN]]
        if len(result.findings) > SHOWN:
            lines.append(f"          and {len(result.findings) - SHOWN} more")
    return "\n".join([*lines, "", conclusion(report)])


def counts(report: Report) -> str:
    """Return what was read, in one line."""
    layout = f"LeRobot {escaped(report.layout, 20)}, " if report.layout else ""
    return f"{layout}{report.episodes} episodes, {report.frames} frames, {report.files} data files"


def note(result: TestResult) -> str:
    """Return what stands beside a check: why it was skipped, or what it measured."""
    if result.skipped:
        return f" ({result.skipped})"
    shares = {n.removesuffix(_SPREAD): value for n, value in result.measures.items() if n.endswith(_SPREAD)}
    told = ", ".join(f"{value:.2%} of {name}" for name, value in shares.items())
    if told:
        return f" (in more than one episode: {told})"
    counts = {n.removesuffix(_SPLITS): value for n, value in result.measures.items() if n.endswith(_SPLITS)}
    return f" (in two splits: {', '.join(f'{n} {name}' for name, n in counts.items())})" if any(counts.values()) else ""


def finding_line(finding: Finding) -> str:
    """Return one finding as one line."""
    where = f"{escaped(finding.file, 200)}: " if finding.file else ""
    mark = "warning: " if finding.severity == "warning" else ""
    return f"{mark}{where}{escaped(finding.message, 400)} [{finding.code}]"


def conclusion(report: Report) -> str:
    """Return the verdict in one line."""
    failed = [r.title for r in report.results if r.verdict == "failed"]
    if report.exit_code == 4:
        return "nothing to check: the dataset holds no frame"
    if not failed:
        warnings = sum(len(r.findings) for r in report.results)
        told = f"; {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
        return f"no leak found in {len(report.results)} checks{told}"
    return f"{len(failed)} of {len(report.results)} checks failed: {', '.join(failed)}"
