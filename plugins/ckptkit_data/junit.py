"""The report as JUnit XML: one test case per check.

Source: https://github.com/testmoapp/junitxml (the common subset that CI servers read).
"""

from xml.etree import ElementTree as ET

from ckptkit.formats.escaped import escaped
from ckptkit_data.findings import Report
from ckptkit_data.text import finding_line


def render(report: Report) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites", name="ckptkit check-data")
    root = escaped(report.root, 500)
    suite = ET.SubElement(suites, "testsuite", name=root, tests=str(len(report.results)))
    failed = skipped = 0
    for result in report.results:
        case = ET.SubElement(suite, "testcase", classname="check-data", name=result.name)
        failing = [f for f in result.findings if f.severity != "warning"]
        if failing:
            failed += 1
            message = escaped(failing[0].message, 400)
            failure = ET.SubElement(case, "failure", message=message, type=failing[0].code)
            failure.text = "\n".join(finding_line(f) for f in result.findings)
        elif result.skipped:
            skipped += 1
            ET.SubElement(case, "skipped", message=result.skipped)
    nothing = report.exit_code == 4
    suite.set("failures", str(failed))
    suite.set("skipped", str(skipped))
    suite.set("errors", str(int(nothing)))
    if nothing:
        case = ET.SubElement(suite, "testcase", classname="check-data", name="dataset")
        suite.set("tests", str(len(report.results) + 1))
        ET.SubElement(case, "error", message="nothing was there to check")
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
