"""Whether a file was written to its end, by the mark that its kind has there: a glance, no check of the content."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.formats.hdf5 import fault
from ckptkit.formats.opening import opened, reason
from ckptkit.formats.zips import list_members
from ckptkit.trainers.interface import Judged

_STOP = b"."


class NotReadError(DamagedError):
    """A file that may be whole: it is too large to be read here, or may not be read."""


def not_whole(*errors: DamagedError, note: str = "") -> Judged:
    """Return the judgement on a checkpoint whose files raised this: where nothing was read, nothing is known."""
    unread = all(isinstance(error, NotReadError) for error in errors)
    return Judged("unknown" if unread else "incomplete", tuple(f"{error.message}{note}" for error in errors))


@contextmanager
def reading(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file that is not empty; gives the stream and its length.

    Raises:
        NotReadError: it is there, but cannot be opened.
        DamagedError: it is empty, not there, a link, or a folder.
    """
    name = escaped(path.name)
    with ExitStack() as stack:
        try:
            stream, length = stack.enter_context(opened(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DamagedError(f"{name} is not there") from error
        except DamagedError as error:
            kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "not a regular file"
            raise DamagedError(f"{name} is {kind}") from error
        except (OSError, ValueError) as error:
            raise NotReadError(f"{name} cannot be read ({_words(error)})") from error
        if not length:
            raise DamagedError(f"{name} is empty")
        try:
            yield stream, length
        except OSError as error:
            raise NotReadError(f"{name} cannot be read ({_words(error)})") from error


def require_closed_zip(path: Path) -> None:
    """Raise DamagedError where a zip has no directory, which is written when it is closed."""
    with reading(path) as (stream, length):
        try:
            list_members(stream, length)
        except DamagedError as error:
            message = f"{escaped(path.name)} is cut short: a zip's directory is written last"
            raise DamagedError(message) from error


def require_ended_pickle(path: Path) -> None:
    """Raise DamagedError where the last byte is not the one that ends a pickle."""
    with reading(path) as (stream, length):
        stream.seek(length - 1)
        if stream.read(1) != _STOP:
            raise DamagedError(f"{escaped(path.name)} is cut short: it does not end as a pickle does")


def require_closed_hdf5(path: Path) -> None:
    """Raise DamagedError where an HDF5 file is shorter than it says, or still open for writing."""
    with reading(path) as (stream, length):
        if message := fault(stream, length):
            raise DamagedError(f"{escaped(path.name)} {message}")


def first_bytes(path: Path) -> bytes:
    """Return how a file begins. Raises as ``reading`` does."""
    with reading(path) as (stream, _):
        return stream.read(8)


def _words(error: Exception) -> str:
    return reason(error) if isinstance(error, OSError) else "its name cannot be opened"
