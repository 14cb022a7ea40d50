"""Files that are saved on the word of whoever saves them: exactly these bytes, whatever loading them would run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ckptkit.digest import digest_file
from ckptkit.errors import NotFoundError, UsageError
from ckptkit.formats.given_file import require_file


class Trust:
    """Marks the files that are trusted among those that are written.

    Args:
        paths: the files, as they are now.
        algorithm: how the checkpoint's files are digested.

    Raises:
        NotFoundError: one does not exist.
        UsageError: one is no file.
        DamagedError, StoreError: one cannot be read.
    """

    def __init__(self, paths: Iterable[Path | str], algorithm: str) -> None:
        self._unused: dict[str, Path] = {}
        for path in map(Path, paths):
            if not path.exists():
                raise NotFoundError(f"{path} does not exist", hint="name the file to trust")
            if path.is_dir():
                raise UsageError(f"{path} is a folder", hint="trust goes to single files: name each")
            require_file(path)
            self._unused[digest_file(path.resolve(), algorithm)[1]] = path
        self._digests = frozenset(self._unused)

    def mark(self, files: Sequence[Any]) -> None:
        """Mark those entries of an item whose content is trusted."""
        for file in files:
            if file["digest"] in self._digests:
                file["trusted"] = True
                self._unused.pop(file["digest"], None)

    def require_used(self) -> None:
        """Raise UsageError if a trusted file is not among those that were written."""
        for path in self._unused.values():
            raise UsageError(
                f"{path} is to be trusted, but is not among the files being saved; nothing was committed",
                hint="name a file that an item holds, byte for byte",
            )
