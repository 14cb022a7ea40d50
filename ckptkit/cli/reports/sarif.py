"""Verification reports as SARIF 2.1.0, for code scanning pages.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/
"""

import os
from typing import Any
from urllib.parse import quote

from ckptkit import __version__
from ckptkit.cli import output
from ckptkit.cli.reports import meanings
from ckptkit.cli.reports.findings import Finding, problems, proofs
from ckptkit.verification import Report

_LEVELS = {"warning": "warning", "unjudged": "none", "error": "error", "unsafe": "error"}


def render(report: Report) -> str:
    """Return the JSON document."""
    found, proven = problems(report), list(proofs(report))
    codes = sorted({one.problem.code for one in [*found, *proven]})
    states = {True: "unchanged", False: "new"} if report.known else {}
    results = [{**_result(one, codes), **_state(one, states)} for one in found] + [_proof(one, codes) for one in proven]
    return _document(codes, results, {"executionSuccessful": True, "exitCode": report.exit_code})


def failed(message: str, hint: str, exit_code: int) -> str:
    """Return the document of a verification that could not be done: no results, and an invocation that says why."""
    told = {"level": "error", "message": {"text": output.safe(f"{message} ({hint})")}}
    outcome = {"executionSuccessful": False, "exitCode": exit_code, "toolExecutionNotifications": [told]}
    return _document([], [], outcome)


def _document(codes: list[str], results: list[dict[str, Any]], invocation: dict[str, Any]) -> str:
    driver = {"name": "ckptkit", "version": __version__, "rules": [_rule(code) for code in codes]}
    run = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return output.dump(document, indent=2) + "\n"


def _rule(code: str) -> dict[str, Any]:
    """Return what a code means, and where that is written."""
    meaning = meanings.of(code)
    text = f"{meaning}. All codes: docs/reference/problems.md" if meaning else "A code of a third-party backend."
    rule: dict[str, Any] = {
        "id": code,
        "shortDescription": {"text": code.replace("-", " ")},
        "fullDescription": {"text": f"{meaning or text}"},
        "help": {"text": text},
    }
    url = meanings.url(code)
    return {**rule, "helpUri": url} if url else rule


def _proof(one: Finding, codes: list[str]) -> dict[str, Any]:
    """Return a result that is no finding: what was replayed passes, what could not be is open."""
    return {**_result(one, codes), "kind": "open" if one.verdict == "resume-unproven" else "pass", "level": "none"}


def _result(one: Finding, codes: list[str]) -> dict[str, Any]:
    p = one.problem
    open_ = {"kind": "open"} if one.severity == "unjudged" else {}
    where = () if p.code in ("rule-met", "rule-not-met") else (p.file or p.item or "checkpoint",)
    return {
        "ruleId": p.code,
        "ruleIndex": codes.index(p.code),
        **open_,
        "level": _LEVELS[one.severity],
        "message": {"text": output.safe(": ".join((one.subject, *where, one.message)))},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(one.path)}}}],
        "partialFingerprints": {"ckptkit/v1": one.mark},
    }


def _state(one: Finding, states: dict[bool, str]) -> dict[str, str]:
    return {"baselineState": states[one.known]} if states else {}


def _uri(path: str) -> str:
    scheme, separator, rest = path.rpartition("://")
    return scheme + separator + quote(os.fsencode(rest))
