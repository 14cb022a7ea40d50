"""The checkpoints of an experiment: the folder EXPERIMENT/checkpoints as one run of a ckptkit store."""

import logging
from pathlib import Path

from ckptkit import CheckpointStore, NotFoundError, NothingResumableError

_log = logging.getLogger(__name__)


def store_of(checkpoint_dir: Path) -> CheckpointStore:
    """Return the store: the folder that the experiments lie in."""
    return CheckpointStore(checkpoint_dir.absolute().parents[1])


def run_of(checkpoint_dir: Path) -> str:
    """Return the name of the run in the store: ``EXPERIMENT/checkpoints``."""
    return "/".join(checkpoint_dir.absolute().parts[-2:])


def ref_of(checkpoint: Path) -> str:
    """Return what the command line calls a checkpoint's folder: ``EXPERIMENT/checkpoints@STEP``."""
    return f"{run_of(checkpoint.parent)}@{int(checkpoint.name.rpartition('-')[2])}"


def get_latest_checkpoint(checkpoint_dir: Path) -> Path | None:
    """Return the folder of the newest checkpoint that verifies, or None if there is no checkpoint at all.

    Raises:
        NothingResumableError: there are checkpoints, but none that verifies; the message says why.
    """
    if not checkpoint_dir.is_dir():
        return None
    try:
        chosen = store_of(checkpoint_dir).choose(run_of(checkpoint_dir))
    except NothingResumableError:
        raise
    except NotFoundError:
        return None
    for report in chosen.skipped:
        _log.warning("%s is not resumed from: %s", report.at.ref, report.reason)
    return chosen.at.folder
