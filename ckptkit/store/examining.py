"""How a store is, and whether the next checkpoint fits into it."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from ckptkit.catalog import manifest_files
from ckptkit.catalog.ledger import Ledger
from ckptkit.errors import CkptkitError, DiskFullError
from ckptkit.health import Finding, SupportsExamine
from ckptkit.storage import Entry, Storage
from ckptkit.store import listed

_BAD = ("damaged", "unreadable", "incomplete")
_KNOWN = "as of the last verification of each, if no file was changed since"


def examine(storage: Storage, ledger: Ledger | None = None) -> Iterator[Finding]:
    """Yield what there is to say about a store, and what a ledger knows; what is wrong is said, never raised."""
    if isinstance(storage, SupportsExamine):
        yield from storage.examine()
    try:
        storage.require()
    except CkptkitError as error:
        if not isinstance(storage, SupportsExamine):
            yield Finding("store", "there", "problem", error.message, error.hint)
        return
    try:
        found = list(storage.scan())
    except CkptkitError as error:
        yield Finding("store", "checkpoints", "problem", error.message, error.hint)
        return
    yield _next(storage, [list(members)[-1] for _, members in groupby(found, key=lambda at: at.run)])
    yield from _judged(found, ledger)
    yield from _without_manifest(storage)


def _judged(found: list[Entry], ledger: Ledger | None) -> Iterator[Finding]:
    """Say how many are known to verify; nothing but manifests is read."""
    counts: Counter[str] = Counter(
        one.content if one.problem is None else one.state for one in listed.listed(listed.places(found), ledger)
    )
    if not counts:
        return
    words = [f"{counts[word]} {word}" for word in ("verified", "unverified", *_BAD) if counts[word]]
    told = f"{', '.join(words)}; {_KNOWN}"
    bad = any(counts[word] for word in _BAD)
    remedy = "`ckptkit verify` says what is wrong" if bad else "`ckptkit verify` judges them"
    remedy = remedy if bad or counts["unverified"] else ""
    yield Finding("store", "verified", "warning" if bad else "ok", told, remedy, dict(counts))


def _without_manifest(storage: Storage) -> Iterator[Finding]:
    """Say how many a trainer wrote that no manifest lists."""
    try:
        count = sum(1 for _ in storage.unlisted())
    except (CkptkitError, OSError):  # what cannot be read is told by the other findings
        return
    if count:
        told = f"{count} that a trainer wrote {'has' if count == 1 else 'have'} none, and cannot be listed"
        yield Finding("store", "manifests", "ok", told, "`ckptkit adopt` judges them", {"without": count})


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
