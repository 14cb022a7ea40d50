"""StoreBrowser: what is in a store, by the names and manifests in it; nothing is verified, and nothing is changed."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.catalog import shown
from ckptkit.catalog.index import Index
from ckptkit.catalog.ledger import Ledger
from ckptkit.listeners import Listener, Listeners
from ckptkit.progress import Meter, Progress
from ckptkit.storage import Entry, Storage, open_storage
from ckptkit.store import listing, selecting, summarising
from ckptkit.store.reference import Ref

if TYPE_CHECKING:
    from ckptkit.manifest.models import Manifest
    from ckptkit.storage import Removed
    from ckptkit.store.adopting import Unlisted
    from ckptkit.store.choosing import Ranking
    from ckptkit.store.describing import Description
    from ckptkit.store.differences import Comparison
    from ckptkit.store.finding import Search, Wanted
    from ckptkit.store.indexing import RunIndex

# What only some of the methods need they import themselves: a listing takes less time than importing it all.


class StoreBrowser:
    """Looks at checkpoints of many runs below one folder; ``StoreReader`` is one that verifies them too."""

    def __init__(
        self, url: str | Path | Storage = "checkpoints", *, cache: bool = True, listeners: Sequence[Listener] = ()
    ) -> None:
        self.storage: Storage = open_storage(url) if isinstance(url, (str, Path)) else url
        self._cache = cache
        self._listeners = Listeners(listeners)

    def listen(self, listener: Listener) -> None:
        """Call a function with each event (``ckptkit.events``) of what this store object does from now on.

        It is called after the thing was done, in the thread that did it, before the method returns; listeners are
        called in the order in which they were added. If one raises, that is logged once (logger ``ckptkit``), and
        changes nothing: the others are called, and what was done is done.
        """
        self._listeners.add(listener)

    @property
    def ledger(self) -> Ledger:
        """What is known of the store's checkpoints; for a ``Verifier``."""
        return Ledger.of(self.storage.same_store, cache=self._cache)

    def list(
        self,
        run: "str | Ref | Sequence[str | Ref] | None" = None,
        *,
        tag: str | None = None,
        limit: int | None = None,
        sort: listing.Sort = "step",
        since: datetime | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> listing.Listing:
        """Return the checkpoints of a run, or of the whole store, to be iterated over; their content is not judged.

        Args:
            run: only this run; or only what references cover, as of ``locate``.
            tag: only those with this tag.
            limit: only the last so many.
            sort: ``step`` means by run, then step.
            since: only those that were saved then or later, and those of which nobody knows.
            on_progress: told how far it is, in bytes of manifests that were not read before.

        Raises:
            NotFoundError: a reference to one checkpoint, or a pattern of runs, covers nothing.
        """
        runs: str | Sequence[str] | None = None
        within = None
        if isinstance(run, str) and selecting.is_name(run):  # a run may be listed before anything was saved in it
            runs = run
        elif run is not None:
            refs = selecting.refs_of(self.storage, _all(run))
            runs, whole = [ref.run for ref in refs], all(ref.whole for ref in refs)
            within = None if whole else self._covered(refs, whole=True)
        index = self._index(runs)
        return listing.Listing(
            self.storage, runs, self.ledger, tag, limit, sort, since, within, index=index, on_progress=on_progress
        )

    def _index(self, runs: str | Sequence[str] | None) -> Index | None:
        """Return what is known from listings before: of one run, or of the store."""
        only = runs if isinstance(runs, str) else runs[0] if runs is not None and len(runs) == 1 else None
        return Index.of(self.storage.same_store, only, cache=self._cache)

    def index(
        self,
        run: str | None = None,
        *,
        rebuild: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> "Sequence[RunIndex]":
        """Return how much of each run listings know without reading manifests; ``rebuild`` reads them all, once.

        Raises:
            UsageError: nothing is kept of this store.
            StoreError: an index that lies in the store cannot be written.
        """
        from ckptkit.store import indexing

        meter = Meter("index", on_progress=on_progress)
        return list(indexing.look(self.storage, self._index(run), run, rebuild=rebuild, on_bytes=meter))

    def unlisted(self, run: str | None = None) -> "Sequence[Unlisted]":
        """Return what trainers wrote into a run, or anywhere in the store, that no manifest lists."""
        index = self._index(run)
        names = summarising.names_of(self.storage, index)
        # Names alone are looked at: the rest asks every backend.
        found = next((self.storage if names is None else names).unlisted(run), None)
        if index is not None:
            index.flush()
        if found is None:
            return ()
        from ckptkit.store import adopting

        return adopting.find(self.storage, run)

    def removed(self, refs: "Sequence[str | Ref]" = ()) -> "Sequence[Removed]":
        """Return what is in the trash, the last removed first: what references name, or all of the store's.

        Raises:
            NotFoundError: a pattern or a path names nothing there.
        """
        from ckptkit.store import missing

        named = selecting.refs_of(self.storage, refs, removed=True)
        found = self.storage.removed()
        if not named:
            return found
        return [one for one in found if any(ref.run == one.run and missing.is_removed(ref, one) for ref in named)]

    def locate(self, ref: str | Ref | None = None, *, ranking: "Ranking | None" = None) -> Sequence[Entry]:
        """Return what a reference covers, unread; ``RUN@latest`` is the highest step, ``RUN@best`` one that verifies.

        Args:
            ref: ``RUN``, ``RUN@STEP``, ``RUN@latest``, ``RUN@best``, also with a pattern (``ppo/*``) or a prefix
                (``ppo/``) of runs; or a path to one of these in this store. None: the whole store.
            ranking: for ``RUN@best``.

        Raises:
            NotFoundError: that is nothing.
        """
        return tuple(self.storage.scan()) if ref is None else self._covered([ref], ranking)

    def _covered(
        self, words: Sequence[str | Ref], ranking: "Ranking | None" = None, *, whole: bool = False
    ) -> Sequence[Entry]:
        """Return what references cover, none twice; ``whole``: a run without checkpoints covers nothing, silently."""
        covered: dict[Entry, None] = {}
        for ref in selecting.refs_of(self.storage, words):
            if whole and ref.whole:
                covered |= dict.fromkeys(self.storage.scan(ref.run))
                continue
            from ckptkit.store import choosing

            if ref.word == "best":
                covered[choosing.best(self.storage, ref, self.ledger, ranking)] = None
            else:
                found = choosing.found(self.storage, ref)
                covered |= dict.fromkeys(found[-1:] if ref.word == "latest" else found)
        return tuple(covered)

    def manifest(self, ref: str | Ref | Entry, *, ranking: "Ranking | None" = None) -> "Manifest":
        """Return what a checkpoint's manifest says; whether its content is as it says only ``verify`` tells.

        Args:
            ref: ``RUN@STEP``, ``RUN@latest``, ``RUN@best``, ``RUN`` (its newest step), or a path in this store; or a
                place of ``locate``.
            ranking: for ``RUN@best``.

        Raises:
            NotFoundError: there is no such checkpoint.
            ManifestError: its manifest cannot be read, or breaks the format's laws.
        """
        from ckptkit.catalog import manifests

        return manifests.require(self._one(ref, ranking))

    def evidence(self, ref: str | Ref | Entry, *, ranking: "Ranking | None" = None) -> Sequence[shown.Shown]:
        """Return what was shown of a checkpoint since it was saved, what says most is the last; see ``manifest``."""
        at = self._one(ref, ranking)
        return shown.by_weight(shown.read(at, self.manifest(at).digest))

    def describe(self, ref: str | Ref | Entry, *, ranking: "Ranking | None" = None) -> "Description":
        """Return all that is known of a checkpoint, also what its files hold; nothing is judged. See ``manifest``."""
        from ckptkit.store import describing

        return describing.describe(self._one(ref, ranking), self.ledger)

    def compare(
        self,
        a: str | Ref | Entry,
        b: str | Ref | Entry,
        *,
        values: bool = True,
        ranking: "Ranking | None" = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> "Comparison":
        """Return what differs between two checkpoints, also of different runs: manifests, files, tensors.

        Args:
            a: the first; as of ``manifest``.
            b: the second.
            values: also read the tensors of files that differ, and say by how much they do.
            ranking: for ``RUN@best``.
            on_progress: told how far it is, in bytes of tensors.

        Raises:
            NotFoundError, ManifestError: as of ``manifest``. Files that cannot be read are in ``Comparison.unread``.
        """
        from ckptkit.store import differences

        sides = [differences.Side(at, self.manifest(at)) for at in (self._one(a, ranking), self._one(b, ranking))]
        meter = Meter("diff", on_progress=on_progress)
        return differences.compare(*sides, values=values, expect=meter.expect, on_bytes=meter)

    def find(self, wanted: "Wanted", ref: str | Ref | Sequence[str | Ref] | None = None) -> "Search":
        """Return a search in what references cover, or in the whole store, to be iterated over: it yields ``Hit``."""
        from ckptkit.store import finding

        return finding.Search(wanted, self._covered(_all(ref)) if ref is not None else self.locate())

    def _one(self, ref: str | Ref | Entry, ranking: "Ranking | None" = None) -> Entry:
        return ref if isinstance(ref, Entry) else self._covered([self._ref(ref)], ranking)[-1]

    def _ref(self, ref: str | Ref, *, removed: bool = False) -> Ref:
        if isinstance(ref, Ref):
            return ref
        return selecting.one(selecting.refs_of(self.storage, [ref], removed=removed), ref, "this")


def _all(refs: "str | Ref | Sequence[str | Ref]") -> "Sequence[str | Ref]":
    return [refs] if isinstance(refs, (str, Ref)) else refs
