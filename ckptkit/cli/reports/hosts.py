"""Verification reports as annotations of code hosts: GitHub workflow commands and GitLab code quality JSON."""

from ckptkit.cli import output
from ckptkit.cli.reports import lines
from ckptkit.cli.reports.sarif import fingerprint, mark_of, path_of, relative
from ckptkit.problem import Problem
from ckptkit.verification import Report

_MOST = 10  # GitHub shows ten annotations of a kind per step and drops the rest without a word


def github(report: Report) -> str:
    """Return workflow commands: at most ten errors and ten warnings, then one line that counts them all."""
    counted = {"error": 0, "warning": 0, "notice": 1}  # the last line is one
    result = []
    for m in report.refs[:_MOST]:
        counted["error"] += 1
        text = _data(f"{m.run}: {m.problem.message} [{m.problem.code}]")
        result.append(f"::error file={_property(relative(m.path))},title=ckptkit::{text}")
    for c in report.checkpoints:
        for p in c.problems:
            kind = "warning" if p.severity in ("warning", "unjudged") else "error"
            counted[kind] += 1
            if counted[kind] <= _MOST:
                where, text = _property(path_of(c, p)), _data(f"{c.at.ref}: {p.message} [{p.code}]")
                result.append(f"::{kind} file={where},title=ckptkit::{text}")
        for item, code, text in list(lines.told(c))[: max(0, _MOST - counted["notice"])]:
            counted["notice"] += 1
            where, text = _property(path_of(c, Problem(code, text))), _data(f"{c.at.ref}: {item}: {text} [{code}]")
            result.append(f"::notice file={where},title=ckptkit::{text}")
    covered = lines.coverage(report)
    counts = ((covered["checkpoints"], "checkpoint"), (covered["files"], "file"), (counted["error"], "error"))
    count = ", ".join(output.count(number, noun) for number, noun in counts)
    kind = "error" if report.exit_code else "notice"
    result.append(f"::{kind} title=ckptkit verify::{_data(count if report.checkpoints else 'nothing to check')}")
    return "\n".join(result) + "\n"


def _data(text: str) -> str:
    return output.safe(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def gitlab(report: Report) -> str:
    """Return a code quality report (https://docs.gitlab.com/ci/testing/code_quality/)."""
    severity = {"warning": "minor", "unjudged": "major", "error": "critical", "unsafe": "blocker"}
    found = [
        {
            "description": output.safe(f"{c.at.ref}: {p.message}"),
            "check_name": p.code,
            "fingerprint": fingerprint(c, p),
            "severity": severity[p.severity],
            "location": {"path": path_of(c, p), "lines": {"begin": 1}},
        }
        for c in report.checkpoints
        for p in c.problems
    ]
    found += [
        {
            "description": output.safe(f"{c.at.ref}: {item}: {text}"),
            "check_name": code,
            "fingerprint": fingerprint(c, Problem(code, text, item=item)),
            "severity": "info",
            "location": {"path": path_of(c, Problem(code, text)), "lines": {"begin": 1}},
        }
        for c in report.checkpoints
        for item, code, text in lines.told(c)
        if code == "resume-unproven"  # a list of what is to be looked at: what is the same is not
    ]
    found += [
        {
            "description": output.safe(f"{m.run}: {m.problem.message}"),
            "check_name": m.problem.code,
            "fingerprint": mark_of(m.run, m.problem),
            "severity": severity[m.problem.severity],
            "location": {"path": relative(m.path), "lines": {"begin": 1}},
        }
        for m in report.refs
    ]
    return output.dump(found, indent=2) + "\n"
