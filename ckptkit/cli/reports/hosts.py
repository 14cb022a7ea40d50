"""Verification reports as annotations of code hosts: GitHub workflow commands and GitLab code quality JSON."""

from ckptkit.cli import output
from ckptkit.cli.reports import lines
from ckptkit.cli.reports.findings import Finding, problems, proofs, worst_first
from ckptkit.problem import Problem
from ckptkit.verification import Report

_MOST = 10  # GitHub shows ten annotations of a kind per step and drops the rest without a word
_KIND = {"unsafe": "error", "error": "error", "unjudged": "warning", "warning": "warning"}
_SEVERITY = {"warning": "minor", "unjudged": "major", "error": "critical", "unsafe": "blocker"}


def github(report: Report) -> str:
    """Return workflow commands, ten at most: the worst findings, then one line that counts them all."""
    found = worst_first(problems(report))
    told = [(_KIND[one.severity], one, "") for one in found]
    told += [("notice", one, "" if one.verdict == "rule-met" else f"{one.problem.item}: ") for one in proofs(report)]
    shown = told[: _MOST - 1]
    covered = lines.coverage(report)
    errors = sum(kind == "error" for kind, _, _ in told)
    counts = ((covered["checkpoints"], "checkpoint"), (covered["files"], "file"), (errors, "error"))
    last = ", ".join(output.count(number, noun) for number, noun in counts)
    if len(told) > len(shown):
        last += f" ({len(told) - len(shown)} more than are shown here)"
    result = [_command(kind, one, item) for kind, one, item in shown]
    kind = "error" if report.exit_code else "notice"
    result.append(
        f"::{kind} title=ckptkit verify::{_data(last if report.checkpoints or report.rules else 'nothing to check')}"
    )
    return "\n".join(result) + "\n"


def github_failed(message: str, hint: str) -> str:
    """Return the workflow command of a verification that could not be done."""
    return f"::error title=ckptkit verify::{_data(f'nothing was verified: {message} ({hint})')}\n"


def _command(kind: str, one: Finding, item: str) -> str:
    text = f"{one.subject}: {item}{one.message} [{one.problem.code}]"
    return f"::{kind} file={_property(one.path)},title=ckptkit::{_data(text)}"


def _data(text: str) -> str:
    return output.safe(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(report: Report) -> str:
    """Return a code quality report (https://docs.gitlab.com/ci/testing/code_quality/)."""
    found = [_issue(one, _SEVERITY[one.severity], one.message) for one in problems(report)]
    # a list of what is to be looked at: what is the same is not
    found += [
        _issue(one, "info", f"{one.problem.item}: {one.problem.message}")
        for one in proofs(report)
        if one.verdict == "resume-unproven"
    ]
    return output.dump(found, indent=2) + "\n"


def gitlab_failed(message: str, hint: str) -> str:
    """Return the code quality report of a verification that could not be done: one blocker."""
    one = Finding("nothing was verified", "ckptkit.yaml", Problem("not-verified", f"{message} ({hint})"))
    return output.dump([_issue(one, "blocker", one.problem.message)], indent=2) + "\n"


def _issue(one: Finding, severity: str, text: str) -> dict[str, object]:
    return {
        "description": output.safe(f"{one.subject}: {text}"),
        "check_name": one.problem.code,
        "fingerprint": one.mark,
        "severity": severity,
        "location": {"path": output.safe(one.path), "lines": {"begin": 1}},
    }
