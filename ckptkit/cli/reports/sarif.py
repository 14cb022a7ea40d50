"""Verification reports as SARIF 2.1.0, for code scanning pages.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/
"""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ckptkit import __version__
from ckptkit.cli import output
from ckptkit.cli.reports.lines import told
from ckptkit.problem import Problem
from ckptkit.verification import CheckpointReport, Report

_LEVELS = {"warning": "warning", "unjudged": "none", "error": "error", "unsafe": "error"}


def render(report: Report) -> str:
    """Return the JSON document."""
    found = [(c, p) for c in report.checkpoints for p in c.problems]
    proofs = [(c, *one) for c in report.checkpoints for one in told(c)]
    codes = {p.code for _, p in found} | {code for _, _, code, _ in proofs} | {m.problem.code for m in report.refs}
    rules = [{"id": code} for code in sorted(codes)]
    driver = {"name": "ckptkit", "version": __version__, "rules": rules}
    results = [_result(c, p) for c, p in found] + [_proof(*one) for one in proofs]
    results += [_located(m.run, relative(m.path), m.problem) for m in report.refs]
    run = {"tool": {"driver": driver}, "results": results}
    document = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return output.dump(document, indent=2) + "\n"


def path_of(c: CheckpointReport, p: Problem) -> str:
    """Return the file that a problem is about; the manifest when it is about no file."""
    return relative(c.at.storage.where(c.at, p.file or c.at.manifest_file))


def relative(place: str) -> str:
    """Return a path as code hosts want it: they attach a finding to a file only by its path in the repository."""
    here, path = Path.cwd(), Path(place)
    return str(path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path)


def fingerprint(c: CheckpointReport, p: Problem) -> str:
    """Return what stays equal while the same finding stays."""
    return mark_of(c.at.ref, p)


def mark_of(subject: str, p: Problem) -> str:
    """Return the same for a finding about a checkpoint or a run, by its name."""
    return hashlib.sha256("\0".join((subject, p.item or "", p.file or "", p.code)).encode()).hexdigest()


def _proof(c: CheckpointReport, item: str, code: str, text: str) -> dict[str, Any]:
    """Return a result that is no finding: what was replayed passes, what could not be is open."""
    finding = Problem(code, text, item=item, severity="warning")
    kind = "pass" if code == "resume-same" else "open"
    return {**_result(c, finding), "kind": kind, "level": "none"}


def _result(c: CheckpointReport, p: Problem) -> dict[str, Any]:
    return _located(c.at.ref, path_of(c, p), p)


def _located(subject: str, path: str, p: Problem) -> dict[str, Any]:
    open_ = {"kind": "open"} if p.severity == "unjudged" else {}
    location = {"physicalLocation": {"artifactLocation": {"uri": quote(path)}}}
    return {
        "ruleId": p.code,
        **open_,
        "level": _LEVELS[p.severity],
        "message": {"text": output.safe(f"{subject}: {p.file or p.item or 'checkpoint'}: {p.message}")},
        "locations": [location],
        "partialFingerprints": {"ckptkit/v1": mark_of(subject, p)},
    }
