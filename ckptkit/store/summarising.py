"""What the manifests of a run say, for a listing: from the index where a manifest is the same as before, else read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ckptkit.catalog import manifest_files
from ckptkit.catalog.index import Index, Kept
from ckptkit.errors import CkptkitError
from ckptkit.manifest.summary import Summary, summarise
from ckptkit.storage import Entry, Storage
from ckptkit.storage.remembering import KeepsIndex, OwnFiles, RememberingStorage, SupportsRemembering

_AT_ONCE = 16  # manifests

Said = tuple[Summary | CkptkitError, OwnFiles]
"""What a manifest says, or why it cannot be read; and which notes may lie beside it."""
_UNKNOWN = OwnFiles(None, settled=False, shown=True, signed=True)


def read(at: Entry, on_bytes: Callable[[int], None] | None = None) -> Summary | CkptkitError:
    """Return what the manifest of one checkpoint says, or why it cannot be read."""
    try:
        data = manifest_files.read_bytes(at)
        if on_bytes is not None:
            on_bytes(len(data))
        return summarise(data)
    except CkptkitError as error:
        return error


def each(entries: Sequence[Entry]) -> Iterator[Said]:
    """Yield what each manifest says, all of them read."""
    for at in entries:
        yield read(at), _UNKNOWN


def names_of(storage: Storage, index: Index | None) -> RememberingStorage | None:
    """Return a look at a store through an index; None where it cannot be looked at so."""
    if index is None or not isinstance(storage, SupportsRemembering):
        return None
    return storage.remembering(index)


@dataclass(frozen=True, slots=True)
class Indexed:
    """Reads only the manifests that are not as they were.

    Attributes:
        index: what is known of the store.
        names: a look at the store through it.
        on_bytes: called with the size of each manifest that is read.
    """

    index: Index
    names: RememberingStorage
    on_bytes: Callable[[int], None] | None = None

    def __call__(self, entries: Sequence[Entry]) -> Iterator[Said]:
        """Yield what each manifest of some checkpoints of one run says; what was read is kept in the end."""
        if not entries:
            return
        run = entries[0].run
        before_that = kept = self.index.summaries(run)
        own_files = self.names.own_files(entries)
        ahead: Mapping[str, Summary | CkptkitError] = {}
        if isinstance(self.names, KeepsIndex):
            own_files = iter(owned := list(own_files))
            kept, ahead = self._ahead(self.names, entries, owned, kept)
        now, read_anew = dict(kept), 0
        for at, own in zip(entries, own_files, strict=True):
            before = kept.get(at.name)
            if before is not None and before[0] == own.stamp:
                yield before[1], own
                continue
            said = ahead[at.name] if at.name in ahead else read(at, self.on_bytes)
            if isinstance(said, Summary) and own.stamp is not None and own.settled:
                now[at.name] = own.stamp, said
                read_anew += 1
            yield said, own
        told = 0 if kept is before_that else sum(before_that.get(name) != one for name, one in kept.items())
        if not isinstance(self.names, KeepsIndex):
            self.index.keep_summaries(run, now, read_anew + told)
            return
        from ckptkit.catalog import index_in_store

        self.index.keep_summaries(run, now, read_anew + told, few=0)  # each is a request the next time
        index_in_store.keep(self.names, run, now, read_anew)

    def _ahead(
        self, names: KeepsIndex, entries: Sequence[Entry], owned: Sequence[OwnFiles], kept: Kept
    ) -> tuple[Kept, Mapping[str, Summary | CkptkitError]]:
        """Return what is known with what the store keeps, and what was read of the rest, many at a time."""
        from ckptkit import parallel  # who looks into folders needs no threads
        from ckptkit.catalog import index_in_store

        unknown = _unknown(entries, owned, kept)
        if len(unknown) > index_in_store.FEW:
            there = index_in_store.summaries(names, entries[0].run)
            kept = {**kept, **{at.name: there[at.name] for at in unknown if at.name in there}}
            unknown = _unknown(entries, owned, kept)
        tasks = [partial(read, at) for at in unknown]
        said = parallel.results(tasks, _AT_ONCE, self.on_bytes or (lambda count: None))
        return kept, {at.name: one for at, one in zip(unknown, said, strict=True)}


def _unknown(entries: Sequence[Entry], owned: Sequence[OwnFiles], kept: Kept) -> list[Entry]:
    pairs = zip(entries, owned, strict=True)
    return [at for at, own in pairs if (found := kept.get(at.name)) is None or found[0] != own.stamp]
