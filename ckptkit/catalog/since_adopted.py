"""Which files of an adopted checkpoint were written since its manifest was: the times of their content tell."""

import contextlib
from collections.abc import Iterable, Iterator

from ckptkit.errors import DamagedError
from ckptkit.layouts import ADOPTED
from ckptkit.storage import Entry

REWRITTEN = "was written after it was adopted"
JUDGED_ANEW = "`ckptkit adopt PATH` judges it anew"


def written(at: Entry, paths: Iterable[str]) -> Iterator[str]:
    """Yield those of the files that are there and are newer than the manifest; of what was not adopted none.

    Raises:
        RefusedError, OSError: they may not be looked at.
    """
    if at.layout is not ADOPTED:
        return
    since = adopted_at(at)
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, DamagedError):
            if at.storage.stat(at, path).stamp[1] > since:
                yield path


def adopted_at(at: Entry) -> int:
    """Return when the manifest of a checkpoint was written, in ns; raises OSError."""
    return at.storage.stat(at, at.manifest_file).stamp[1]
