"""JSON files of a trainer: strict, except for the NaN and Infinity that trainers log and Python reads."""

import json
from collections.abc import Iterator

from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem, Severity


def check_json(source: Source) -> Iterator[Problem]:
    """Yield ``bad-json``: a warning if Python would read it anyway."""
    if source.length > strict_json.MAX_BYTES:
        return  # nothing of ours: data
    data = source.start(source.length)
    try:
        strict_json.loads(data)
    except DamagedError as error:
        if _is_lines(data):
            return
        severity: Severity = "warning" if _python_reads(data) else "error"
        yield source.problem("bad-json", error.message, severity)


def _is_lines(data: bytes) -> bool:
    """Return whether it is several lines with one JSON value each, as datasets and logs are often kept."""
    lines = [line for line in data.splitlines() if line.strip()]
    return len(lines) > 1 and all(map(_python_reads, lines))


def _python_reads(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
