"""What the manifests of a run say, for a listing: from the index where a manifest is the same as before, else read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ckptkit.catalog import manifest_files
from ckptkit.catalog.index import Index
from ckptkit.errors import CkptkitError
from ckptkit.manifest.summary import Summary, summarise
from ckptkit.storage import Entry, Storage
from ckptkit.storage.remembering import RememberingStorage, SupportsRemembering

Said = tuple[Summary | CkptkitError, bool]
"""What a manifest says, or why it cannot be read; and whether anything may have been shown of the checkpoint."""


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
        yield read(at), True


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
        kept = self.index.summaries(run)
        now, read_anew = dict(kept), 0
        for at, own in zip(entries, self.names.own_files(entries), strict=True):
            before = kept.get(at.name)
            if before is not None and before[0] == own.stamp:
                yield before[1], own.shown
                continue
            said = read(at, self.on_bytes)
            if isinstance(said, Summary) and own.stamp is not None and own.settled:
                now[at.name] = own.stamp, said
                read_anew += 1
            yield said, own.shown
        self.index.keep_summaries(run, now, read_anew)
