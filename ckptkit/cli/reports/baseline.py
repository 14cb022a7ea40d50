"""What was found before, so that only what is new fails: an earlier report of ``ckptkit verify``, as JSON."""

import json
from pathlib import Path
from typing import Any

from ckptkit.errors import UsageError
from ckptkit.verification import Mark

_MOST = 256 << 20  # bytes


def read(path: Path) -> frozenset[Mark]:
    """Return the findings of a report that ``--format json`` or ``--report json=FILE`` wrote.

    Raises:
        UsageError: it is none, or the verification that it tells of could not be done.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST + 1)
    except OSError as error:
        hint = f"write one: ckptkit verify --report json={path}"
        raise UsageError(f"--baseline {path}: cannot be read ({error.strerror})", hint=hint) from error
    try:
        if len(data) > _MOST:
            raise ValueError("it is too large")
        report = json.loads(data)
        if report["exit_code"] not in (0, 1, 3, 4, 5, 7) or "coverage" not in report:
            raise ValueError("that verification could not be done")
        found = {_mark(one["ref"], p) for one in report["checkpoints"] for p in one["problems"]}
        found |= {_mark(one["run"], p) for one in report["runs"] for p in one["problems"]}
        found |= {
            (str(one["run"]), str(one["rule"]), "", "rule-not-met")
            for one in report.get("rules", ())
            if one["met"] is False
        }
        return frozenset(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = f"write it anew: ckptkit verify --report json={path}"
        raise UsageError(f"--baseline {path}: is no report of ckptkit verify as JSON", hint=hint) from error


def _mark(subject: str, p: dict[str, Any]) -> Mark:
    found = (subject, p["item"] or "", p["file"] or "", p["code"])
    if not all(isinstance(word, str) for word in found):
        raise TypeError
    return found
