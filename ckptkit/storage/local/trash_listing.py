"""What is in the trash of a store, and how large it is."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ckptkit.errors import CkptkitError
from ckptkit.storage.local import scanning, trash
from ckptkit.storage.local.files import names
from ckptkit.storage.values import Removed


def of_run(run: str, state_folder: Path, away: trash.Away) -> list[Removed]:
    """Return what was removed from a run, the last removed first; ``away`` is asked as by ``trash.restore``."""
    elsewhere = None
    with contextlib.suppress(CkptkitError):  # of a copied store nothing is looked for there
        elsewhere = away()
    return [removed(run, one, _size(one.entry, elsewhere)) for one in trash.listing(state_folder)]


def removed(run: str, trashed: trash.Trashed, size: int | None = None) -> Removed:
    """Return what a store tells of one removed checkpoint."""
    return Removed(run, trashed.entry.name, trashed.removed_at, trashed.step, str(trashed.entry), size)


def of_store(root: Path, of: Callable[[str], list[Removed]]) -> list[Removed]:
    """Return what was removed from all runs, the last removed first."""
    found: list[Removed] = []
    for run, _ in scanning.folders_of_runs(root):
        with contextlib.suppress(OSError):  # another user's
            found += of(run)
    return sorted(found, key=lambda one: one.key, reverse=True)  # it begins with the moment


def _size(entry: Path, elsewhere: Path | None) -> int:
    """Return the bytes of a trainer's files in an entry, as a manifest counts them; what vanishes counts nothing."""
    at = trash.content(entry, elsewhere)
    if at is None:
        return 0
    own, size = {at.manifest.name, *at.notes}, 0
    with contextlib.suppress(OSError):
        for path in names(at.folder):
            size += 0 if path in own else os.lstat(at.folder / path).st_size
    return size
