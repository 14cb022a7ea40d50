"""A loader's position alone, in a folder of its own: a ckptkit store with one run for each host.

``DIR/rank0/step-00000003/`` is the third save of host 0. Steps count saves, not batches: the newest save is the newest,
also after a run that began anew. Two are kept, so that a damaged one has a predecessor.
"""

import logging
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ckptkit_tfdata import PersistentIterator

from ckptkit import CheckpointStore, CkptkitError, NotFoundError, Retain
from ckptkit.storage import Entry

_LOG = logging.getLogger(__name__)
_ITEM = "data"
_KEEP = 2


def save_loader(directory: str, rank: int, iterator: PersistentIterator, definition: Mapping[str, Any]) -> Path:
    """Save and return the path of the manifest; older positions but one are removed after that."""
    store = CheckpointStore(directory)
    run = f"rank{rank}"
    step = max((at.step or 0 for at in _saved(store, run)), default=0) + 1
    saved = store.save(run, step, {_ITEM: iterator}, config=definition)
    try:
        # What is removed goes to the trash, and out of it at the next save.
        store.prune(store.plan_prune(Retain(last=_KEEP), run=run, grace=timedelta(0)))
    except CkptkitError as error:
        _LOG.warning("saved, but older states were not removed: %s", error)
    return saved.at.manifest


def load_loader(directory: str, rank: int, iterator: PersistentIterator) -> None:
    """Verify the newest position and put it back; the iterator refuses one of another definition, field by field."""
    store = CheckpointStore(directory)
    run = f"rank{rank}"
    if not _saved(store, run):
        for other in _saved(store, None):  # of another number of hosts: its definition will be told
            store.restore(f"{other.run}@{other.step}", into={_ITEM: iterator})
        _tell_unlisted(store, run)
        raise ValueError(f"No checkpoint found in {directory}")
    chosen = store.choose(run)
    for report in chosen.skipped:
        _LOG.warning("%s is damaged (%s); going on from %s", report.at.ref, report.reason, chosen.at.ref)
    store.restore(chosen.at.ref, into={_ITEM: iterator})


def _tell_unlisted(store: CheckpointStore, run: str) -> None:
    for one in store.unlisted() if store.storage.has_run(".") else ():
        newest = one.paths[-1]
        _LOG.warning(
            "%s: has no manifest, so nothing says whether it is whole, or of which definition it is; "
            "to go on from it anyway: ckptkit --store %s save %s --step %s %s=%s",
            *(newest, shlex.quote(store.storage.url), run, one.step, _ITEM, shlex.quote(str(newest))),
        )


def _saved(store: CheckpointStore, run: str | None) -> Sequence[Entry]:
    if not store.storage.has_run("."):
        return []
    try:
        return store.locate(run)
    except NotFoundError:
        return []
