"""Moments as people write them: how long ago (``7d``), or when (``2026-11-20``)."""

from datetime import UTC, datetime

from ckptkit.errors import UsageError


def parse_since(text: str, option: str = "--since") -> datetime:
    """Return the moment; a date is its beginning, and what names no time zone is UTC, as listings are.

    Raises:
        UsageError: it is neither a duration nor a date.
    """
    from ckptkit.retention import parse_duration

    try:
        return datetime.now(UTC) - parse_duration(text)
    except UsageError:
        pass
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            f"{option} {text[:80]!r} is neither a duration nor a date",
            hint="for example 12h, 7d, 2w, 2026-11-20 or 2026-11-20T08:00",
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
