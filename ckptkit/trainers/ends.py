"""Whether a file was written to its end, by the mark that its kind has there: a glance, no check of the content."""

from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.zips import list_members

_STOP = b"."


def cut_zip(path: Path) -> str | None:
    """Return why a zip has no end, or None: its directory is written when it is closed."""
    name = escaped(path.name)
    try:
        with opened(path) as (stream, length):
            if not length:
                return f"{name} is empty"
            list_members(stream, length)
    except (DamagedError, OSError) as error:
        cut = isinstance(error, DamagedError) and path.is_file() and not path.is_symlink()
        return f"{name} is cut short: a zip's directory is written last" if cut else f"{name}: {reason(error)}"
    return None


def cut_pickle(path: Path) -> str | None:
    """Return why a pickle has no end, or None: its last byte is a STOP."""
    name = escaped(path.name)
    try:
        with opened(path) as (stream, length):
            if not length:
                return f"{name} is empty"
            stream.seek(length - 1)
            return None if stream.read(1) == _STOP else f"{name} is cut short: it does not end as a pickle does"
    except (DamagedError, OSError) as error:
        return f"{name}: {reason(error)}"


def start(path: Path) -> bytes:
    """Return the first bytes of a regular file.

    Raises:
        DamagedError: it is empty, no file, or cannot be read.
    """
    name = escaped(path.name)
    try:
        with opened(path) as (stream, _):
            first = stream.read(8)
    except (DamagedError, OSError) as error:
        raise DamagedError(f"{name}: {reason(error)}") from error
    if not first:
        raise DamagedError(f"{name} is empty")
    return first
