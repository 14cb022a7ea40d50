"""Verification reports as JUnit XML: one suite per checkpoint, one test case per item.

What is written is what both schemas in use allow: that of Ant's JUnitReport (suites have a number, a package, a host
and a moment, and say what they printed) and that of Jenkins' xUnit plugin.
"""

import socket
from collections.abc import Collection
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from ckptkit.cli import output
from ckptkit.cli.reports.lines import told
from ckptkit.verification import CheckpointReport, Mark, Report, RuleReport, mark
from ckptkit.verification.report import REHEARSED


def render(report: Report) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites")
    for c in report.checkpoints:
        suite = _suite(suites, c.at.ref, c.began, c.seconds)
        rehearsed = [REHEARSED] if REHEARSED in c.proofs else []
        for name in ["manifest", *(c.manifest.items if c.manifest else ()), *rehearsed]:
            _case(suite, c, name, report.known)
        printed = [f"{item}: {code}: {text}" for item, code, text in told(c) if code != "resume-unproven"]
        _close(suite, printed)
    for m in report.refs:
        suite = _suite(suites, m.run)
        case = _named(suite, m.run, m.problem.file or "refs.json")
        _add(
            case, "skipped" if mark(m.run, m.problem) in report.known else "failure", m.problem.code, m.problem.message
        )
        _close(suite)
    for run in dict.fromkeys(one.run for one in report.rules):
        suite = _suite(suites, f"{run}: rules")
        mine = [one for one in report.rules if one.run == run]
        for one in mine:
            _rule(suite, one, report.known)
        _close(suite, [f"{one.rule} is met: {one.message}" for one in mine if one.problem is None])
    if not report.checkpoints and not report.rules:
        _unchecked(suites, "nothing-to-check", "nothing was there to check")
    return _document(suites)


def failed(message: str, hint: str) -> str:
    """Return the document of a verification that could not be done: one test case that is an error."""
    suites = ET.Element("testsuites")
    _unchecked(suites, "not-verified", message, hint)
    return _document(suites)


def _unchecked(suites: ET.Element, code: str, message: str, hint: str = "") -> None:
    suite = _suite(suites, "store")
    _add(_named(suite, "store", "store"), "error", code, message, hint)
    _close(suite)


def _rule(suite: ET.Element, one: RuleReport, known: Collection[Mark]) -> None:
    case = _named(suite, f"{one.run}: rules", one.rule)
    if one.problem is not None:
        _add(case, "skipped" if mark(one.run, one.problem) in known else "failure", one.problem.code, one.message)


def _case(suite: ET.Element, c: CheckpointReport, name: str, known: Collection[Mark]) -> None:
    case = _named(suite, c.at.ref, name)
    mine = [p for p in c.problems if (p.item or "manifest") == name and p.severity != "warning"]
    problems = [p for p in mine if p.severity != "unjudged" and mark(c.at.ref, p) not in known]
    unproven = [text for item, code, text in told(c) if item == name and code == "resume-unproven"]
    if problems:
        lines = [f"{p.file or '-'}: {p.code}: {p.message}" for p in problems]
        _add(case, "failure", problems[0].code, problems[0].message, *lines)
    elif mine:
        _add(case, "skipped", mine[0].code, "; ".join(f"{p.code}: {p.message}" for p in mine))
    elif unproven:
        _add(case, "skipped", "resume-unproven", f"resume-unproven: {unproven[0]}")


def _suite(suites: ET.Element, name: str, began: float | None = None, seconds: float = 0.0) -> ET.Element:
    when = datetime.now(UTC) if began is None else datetime.fromtimestamp(began, UTC)
    suite = ET.SubElement(
        suites, "testsuite", id=str(len(suites)), name=output.safe(name), package="ckptkit",
        timestamp=when.strftime("%Y-%m-%dT%H:%M:%S"), time=f"{seconds:.6f}",
        hostname=output.safe(socket.gethostname()) or "localhost",
    )  # fmt: skip
    ET.SubElement(suite, "properties")
    return suite


def _named(suite: ET.Element, subject: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=output.safe(subject), name=output.safe(name), time="0.000")


def _add(case: ET.Element, kind: str, code: str, message: str, *details: str) -> None:
    found = ET.SubElement(case, kind, type=output.safe(code), message=output.safe(message))
    found.text = "\n".join(output.safe(line) for line in details if line)


def _close(suite: ET.Element, printed: list[str] | None = None) -> None:
    """Count the cases of a suite; its time is that of the first one, since items are looked at together."""
    cases = suite.findall("testcase")
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(cases)))
    cases[0].set("time", suite.get("time", "0.000"))
    ET.SubElement(suite, "system-out").text = "\n".join(output.safe(line) for line in printed or ())
    ET.SubElement(suite, "system-err")


def _document(suites: ET.Element) -> str:
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
