"""JSON files of a trainer: strict, but for the NaN and Infinity that trainers log and Python reads."""

import json
from collections.abc import Iterator

from ckptkit.errors import DamagedError
from ckptkit.formats import strict_json
from ckptkit.formats.sources import Source
from ckptkit.problem import Problem, Severity


def check_json(source: Source) -> Iterator[Problem]:
    """Yield ``bad-json``: a warning where Python would read it all the same."""
    if source.length > strict_json.MAX_BYTES:
        return  # nothing of ours: data
    data = source.start(source.length)
    try:
        strict_json.loads(data)
    except DamagedError as error:
        severity: Severity = "warning" if _python_reads(data) else "error"
        yield source.problem("bad-json", error.message, severity)


def _python_reads(data: bytes) -> bool:
    """Return whether Python reads it as JSON, or as lines of JSON."""
    for parts in ([data], [line for line in data.splitlines() if line.strip()]):
        try:
            for part in parts:
                json.loads(part)
        except (ValueError, RecursionError):
            continue
        return bool(parts)
    return False
