"""How much of each run the index knows, and the index made anew from the manifests themselves."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ckptkit import parallel
from ckptkit.catalog import index_in_store
from ckptkit.catalog.index import Index, Kept
from ckptkit.errors import UsageError
from ckptkit.manifest.summary import Summary
from ckptkit.storage import Entry, Storage
from ckptkit.storage.remembering import KeepsIndex, RememberingStorage
from ckptkit.store import summarising

_AT_ONCE = 16  # manifests


@dataclass(frozen=True, slots=True)
class RunIndex:
    """What is known of one run without reading a manifest.

    Attributes:
        run: its name.
        checkpoints: how many it has.
        known: of how many the index on this machine, or in the store, says what the manifest says now.
        where: where the index lies that other machines read; None: there is none but this machine's.
    """

    run: str
    checkpoints: int
    known: int
    where: str | None


def look(
    storage: Storage,
    index: Index | None,
    run: str | None,
    *,
    rebuild: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[RunIndex]:
    """Yield each run that has checkpoints.

    Args:
        storage: the store.
        index: of this machine.
        run: only this one.
        rebuild: read all manifests, and write what they say in place of what is kept.
        on_bytes: called with the sizes of manifests that are read.

    Raises:
        UsageError: nothing is kept of this store.
        StoreError: the index in the store cannot be written.
    """
    names = summarising.names_of(storage, index)
    if names is None or index is None:
        raise UsageError(f"{storage.url}: no index is kept of this store", hint="leave --no-cache out")
    for of, entries in names.runs(run):
        stamps = {
            at.name: own.stamp
            for at, own in zip(entries, names.own_files(entries), strict=True)
            if own.stamp is not None and own.settled
        }
        if rebuild:
            said = _read(entries, on_bytes or (lambda count: None))
            known: Kept = {name: (stamps[name], one) for name, one in said.items() if name in stamps}
            index.replace_summaries(of, known)
            if isinstance(names, KeepsIndex):
                names.read_index(of)  # it is written over by whoever has seen it
                index_in_store.replace(names, of, known)
        else:
            known = _known(names, index, of)
        same = sum(known[name][0] == stamp for name, stamp in stamps.items() if name in known)
        where = storage.where_state(of, "index.json") if isinstance(names, KeepsIndex) else None
        yield RunIndex(of, len(entries), same, where)
    index.flush()


def _known(names: RememberingStorage, index: Index, run: str) -> Kept:
    there = index_in_store.summaries(names, run) if isinstance(names, KeepsIndex) else {}
    return {**there, **index.summaries(run)}


def _read(entries: Sequence[Entry], on_bytes: Callable[[int], None]) -> dict[str, Summary]:
    said = parallel.results([partial(summarising.read, at) for at in entries], _AT_ONCE, on_bytes)
    return {at.name: one for at, one in zip(entries, said, strict=True) if isinstance(one, Summary)}
