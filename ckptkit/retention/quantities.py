"""Durations and sizes as people write them: "7d", "12h", "10GB", "500MiB"."""

import re
from datetime import timedelta

from ckptkit.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "b": 1}
for _power, _prefix in enumerate("kmgtpe", start=1):
    _BYTES |= {_prefix: int(1000**_power), f"{_prefix}b": int(1000**_power), f"{_prefix}ib": int(1024**_power)}
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", re.ASCII)
MAX_DURATION = timedelta(days=36_500)
MAX_SIZE = 10**18


def parse_duration(text: str) -> timedelta:
    """Return the duration behind "7d", "12h", "30m", "2w" or "90s".

    Raises:
        UsageError: anything else, zero, or more than 100 years.
    """
    hint = 'write a number and one of s, m (minutes), h, d, w: "30m", "12h", "7d", "2w"'
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in _SECONDS:
        raise UsageError(f"not a duration: {text[:80]!r}", hint=hint)
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= MAX_DURATION.total_seconds():
        raise UsageError(f"not a sensible duration: {text[:80]!r} (from one second to 100 years)", hint=hint)
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int:
    """Return the bytes behind "10GB" (10**10), "500MiB" (500 * 2**20), "1.5T" or "1048576".

    Raises:
        UsageError: anything else, zero, or more than an exabyte.
    """
    hint = 'write a number of bytes with a unit: "10GB", "500MiB", "1.5TB"'
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2].lower() not in _BYTES:
        raise UsageError(f"not a size: {text[:80]!r}", hint=hint)
    factor = _BYTES[match[2].lower()]
    size = int(match[1]) * factor if match[1].isdigit() else round(float(match[1]) * factor)
    if not 1 <= size <= MAX_SIZE:
        raise UsageError(f"not a sensible size: {text[:80]!r} (from one byte to an exabyte)", hint=hint)
    return size


def format_duration(duration: timedelta) -> str:
    """Return the duration in its largest unit without a remainder, such as "7d" or "90m"."""
    seconds = round(duration.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def format_size(size: int) -> str:
    """Return bytes for people, in decimal units with three digits: "999 B", "1.50 GB"."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        value /= 1000
        if value < 999.5 or unit == "EB":
            break
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
