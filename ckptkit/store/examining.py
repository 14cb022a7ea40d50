"""How a store is, and whether the next checkpoint fits into it."""

from collections.abc import Iterator
from itertools import groupby

from ckptkit.catalog import manifest_files
from ckptkit.errors import CkptkitError, DiskFullError
from ckptkit.health import Finding, SupportsExamine
from ckptkit.storage import Entry, Storage


def examine(storage: Storage) -> Iterator[Finding]:
    """Yield what there is to say about a store; whatever is wrong with it is said, never raised."""
    if isinstance(storage, SupportsExamine):
        yield from storage.examine()
    try:
        storage.require()
    except CkptkitError as error:
        if not isinstance(storage, SupportsExamine):
            yield Finding("store", "there", "problem", error.message, error.hint)
        return
    try:
        newest = [list(members)[-1] for _, members in groupby(storage.scan(), key=lambda at: at.run)]
    except CkptkitError as error:
        yield Finding("store", "checkpoints", "problem", error.message, error.hint)
        return
    yield _next(storage, newest)


def _next(storage: Storage, newest: list[Entry]) -> Finding:
    """Say whether a checkpoint as large as the largest of the newest ones still fits."""
    sizes = {at.run: size for at in newest if (size := _size(at))}
    if not sizes:
        return Finding("store", "checkpoints", "ok", "it holds no checkpoint yet")
    run = max(sizes, key=sizes.__getitem__)
    details = {"runs": len(newest), "run": run, "bytes": sizes[run]}
    try:
        storage.require_space(run, sizes[run])
    except DiskFullError as error:
        told = f"the next checkpoint of {run} will not fit: {error.message}"
        return Finding("store", "checkpoints", "warning", told, error.hint, details)
    except CkptkitError as error:
        return Finding("store", "checkpoints", "warning", error.message, error.hint, details)
    runs = "1 run has" if len(newest) == 1 else f"{len(newest)} runs have"
    return Finding("store", "checkpoints", "ok", f"{runs} checkpoints, and the next of each will fit", details=details)


def _size(at: Entry) -> int:
    try:
        return manifest_files.summary(at).size
    except CkptkitError:
        return 0
