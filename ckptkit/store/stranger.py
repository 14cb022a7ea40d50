"""Files that a stranger wrote and may be writing still: which there are, and what would show a change."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ckptkit import durable
from ckptkit.errors import NotFoundError, UnsafeContentError
from ckptkit.formats.escaped import escaped

Look = Mapping[str, tuple[int, int, int, int]]
"""By path: size, mtime and ctime in ns, inode; or what a service has in place of these."""


def look(around: Path, names: Iterable[str]) -> Look:
    """Return the files of these names in a folder; of a folder all that are in it.

    Raises:
        NotFoundError: one is not there (any more), or is an empty folder.
        UnsafeContentError: a link, or what is no regular file.
        OSError: it cannot be looked at.
    """
    found: dict[str, tuple[int, int, int, int]] = {}
    waiting = list(names)
    for name in waiting:
        try:
            told = os.lstat(around / name)
            if stat.S_ISDIR(told.st_mode):
                waiting += [f"{name}/{inner}" for inner in sorted(os.listdir(around / name))]
                continue
        except FileNotFoundError as error:
            raise NotFoundError(f"{escaped(name)}: is not there") from error
        if stat.S_ISLNK(told.st_mode):
            raise UnsafeContentError(f"{escaped(name)}: is a link", hint="adopt what it leads to, not the link")
        if not stat.S_ISREG(told.st_mode):
            raise UnsafeContentError(f"{escaped(name)}: is not a regular file", hint="move it away, and adopt again")
        found[name] = told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino
    if not found:
        raise NotFoundError(f"{', '.join(map(escaped, names))}: holds no file")
    return dict(sorted(found.items()))


def make_last(around: Path, paths: Iterable[str]) -> None:
    """Make files last as their manifest will, which trainers seldom do; raises OSError."""
    for path in paths:
        _flush(around / path)


def make_names_last(around: Path, paths: Iterable[str], *, first: bool) -> None:
    """Make the names of files last, which a flush of a file does not; raises OSError.

    Args:
        around: the folder that the paths are counted from.
        paths: of the files.
        first: whether nobody has adopted from there before: then the way to the folder is flushed, too.
    """
    inner = {parent for path in paths for parent in (around / path).parents if parent.is_relative_to(around)}
    for folder in sorted({around, *inner}, reverse=True):
        _flush(folder)
    if first:
        durable.fsync_way(around)


def _flush(path: Path) -> None:
    try:
        durable.fsync_path(path)
    except OSError as error:
        if error.errno not in durable.UNWRITABLE:
            raise
