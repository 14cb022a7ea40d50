"""Checks an item's files by what they are: the core's walker knows every kind, whoever wrote it."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckptkit.formats.kinds import look_into_file
from ckptkit.problem import Problem


def check_files(directory: Path, files: Sequence[str]) -> Iterator[Problem]:
    """Yield the problems of an item's files; for an unknown format, only whether the file is there and is a file.

    Args:
        directory: the item's folder.
        files: names relative to it.
    """
    for name in files:
        path = directory / name
        try:
            regular = stat.S_ISREG(path.lstat().st_mode)
        except OSError as error:
            code = "file-missing" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else "file-unreadable"
            yield Problem(code, f"cannot be read ({error.strerror})", file=name)
            continue
        if not regular:
            yield Problem("file-missing", "is not a regular file", file=name)
        else:
            yield from look_into_file(path, file=name)
