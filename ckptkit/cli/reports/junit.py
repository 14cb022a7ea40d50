"""Verification reports as JUnit XML: one test case per checkpoint and item.

Source: https://github.com/testmoapp/junitxml (the common subset that CI servers read).
"""

from xml.etree import ElementTree as ET

from ckptkit.cli import output
from ckptkit.cli.reports.lines import told
from ckptkit.verification import CheckpointReport, Report
from ckptkit.verification.report import REHEARSED


def render(report: Report) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites", name="ckptkit verify")
    for c in report.checkpoints:
        suite = ET.SubElement(suites, "testsuite", name=output.safe(c.at.ref))
        failed = 0
        names = ["manifest", *(c.manifest.items if c.manifest else ()), *([REHEARSED] if REHEARSED in c.proofs else ())]
        for name in names:
            failed += _case(suite, c, name)
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(failed))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    for m in report.refs:
        suite = ET.SubElement(suites, "testsuite", name=output.safe(m.run), tests="1", failures="1", skipped="0")
        case = ET.SubElement(suite, "testcase", classname=output.safe(m.run), name=m.problem.file or "")
        ET.SubElement(case, "failure", message=output.safe(m.problem.message), type=m.problem.code)
    if not report.checkpoints:
        suite = ET.SubElement(suites, "testsuite", name="store", tests="1", errors="1", failures="0")
        case = ET.SubElement(suite, "testcase", classname="store", name="store")
        ET.SubElement(case, "error", message="nothing was there to check")
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, c: CheckpointReport, name: str) -> int:
    case = ET.SubElement(suite, "testcase", classname=output.safe(c.at.ref), name=name)
    mine = [p for p in c.problems if (p.item or "manifest") == name and p.severity != "warning"]
    problems = [p for p in mine if p.severity != "unjudged"]
    if problems:
        lines = [f"{p.file or '-'}: {p.code}: {p.message}" for p in problems]
        failure = ET.SubElement(case, "failure", message=output.safe(problems[0].message), type=problems[0].code)
        failure.text = "\n".join(output.safe(line) for line in lines)
    for p in mine if not problems else ():
        ET.SubElement(case, "skipped", message=output.safe(f"{p.code}: {p.message}"))
    for item, code, text in told(c):
        if item == name and not mine and code == "resume-unproven":
            ET.SubElement(case, "skipped", message=output.safe(f"{code}: {text}"))
        elif item == name:
            ET.SubElement(case, "system-out").text = output.safe(f"{code}: {text}")
    return bool(problems)
