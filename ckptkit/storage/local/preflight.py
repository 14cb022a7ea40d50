"""Find out before a training begins whether its checkpoints can be saved, by doing a small version of a save."""

import os
import shutil
import uuid
from pathlib import Path

from ckptkit.durable import fsync_path, require_space, storage_errors, write_file
from ckptkit.errors import DiskFullError, StoreError
from ckptkit.storage.local import staging

_HINT = "choose another folder, or correct its owner and permissions; no training step was made"


def probe(folder: Path, state_folder: Path, *, needed: int) -> None:
    """Create a run's folder, and write, flush, rename and remove something in it.

    Args:
        folder: of the run.
        state_folder: its ``.ckptkit``.
        needed: bytes that a checkpoint is expected to take.

    Raises:
        StoreError: a checkpoint could not be saved there; the message names the file and the reason.
        DiskFullError: it would not fit.
    """
    place = folder / f".probe-{uuid.uuid4().hex}"  # no name of a run or of a checkpoint: nobody lists it
    try:
        with staging.staged(state_folder) as staged, storage_errors(str(folder)):
            write_file(staged / "probe", b"probe")
            fsync_path(staged)
            os.rename(staged, place)
            try:
                fsync_path(folder)
            finally:
                shutil.rmtree(place)
    except DiskFullError:
        raise
    except StoreError as error:
        raise StoreError(f"{folder}: no checkpoint can be saved here ({_reason(error)})", hint=_HINT) from error
    require_space(folder, needed)


def _reason(error: StoreError) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror
    return error.message
