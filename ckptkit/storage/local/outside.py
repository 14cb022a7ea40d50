"""Keep files outside the store: only checkpoints are written into it, and no checkpoint swallows the store."""

import os
from pathlib import Path

from ckptkit.errors import CkptkitError, RefusedError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.names import MANIFEST_NAME, STATE_FOLDER
from ckptkit.manifest.summary import summarise
from ckptkit.storage.local import files

_HINT = "name a place outside the store; nothing was written"


def require_destination(root: Path, path: Path) -> None:
    """Raise RefusedError unless files may be written at the path without harm to a checkpoint.

    Links, ``..`` and the case of names are looked through: what counts is where the path really leads.

    Args:
        root: of the store.
        path: a file or folder that is to be written, existing or not.

    Raises:
        RefusedError: it lies in the store, contains the store, or lies in a checkpoint of another store.
    """
    around = _upward(path)
    if any(_same(place, root) for place in around):
        raise RefusedError(f"{path}: lies in the store {root}, where nothing is written but checkpoints", hint=_HINT)
    if _holds(path, root):
        raise RefusedError(f"{path}: holds the store {root}", hint=_HINT)
    for place in around:
        if place.name == STATE_FOLDER or _is_checkpoint(place):
            raise RefusedError(f"{path}: lies in {place}, a checkpoint or part of a store", hint=_HINT)


def require_source(root: Path, path: Path) -> None:
    """Raise RefusedError if adopting the path would copy the store, or ckptkit's own files, into the store."""
    if _holds(path, root):
        raise RefusedError(f"{path}: holds the store {root}", hint="name what the trainer wrote; nothing was committed")
    if any(place.name == STATE_FOLDER for place in _upward(path)):
        raise RefusedError(
            f"{path}: lies in a folder of ckptkit's own", hint="`ckptkit undelete` takes back what was removed"
        )


def _holds(path: Path, root: Path) -> bool:
    return path.is_dir() and any(_same(place, path) for place in _upward(root))


def _upward(path: Path) -> list[Path]:
    """Return the place itself and the folders around it, where links really lead."""
    resolved = path.resolve()
    return [resolved, *resolved.parents]


def _same(one: Path, other: Path) -> bool:
    """Whether both are the same folder, even if the file system folds case; what does not exist yet goes by name."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one == other.resolve()


def _is_checkpoint(folder: Path) -> bool:
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file():
        return False
    try:
        summarise(files.read(manifest, MAX_BYTES))
    except (CkptkitError, OSError):
        return False
    return True
