"""StoreCopier: chooses what to resume from, and copies checkpoints out of a store: to a folder, or to another store."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit import scratch
from ckptkit.catalog.ledger import Ledger
from ckptkit.listeners import Listener
from ckptkit.progress import Meter, Progress
from ckptkit.storage import Storage, open_storage, require_path
from ckptkit.store import selecting
from ckptkit.store.browser import StoreBrowser
from ckptkit.store.reference import Ref

if TYPE_CHECKING:
    from ckptkit.signing.keyring import Keyring
    from ckptkit.store.choosing import Chosen, Ranking
    from ckptkit.store.copying_to import Transfer
    from ckptkit.verification import Level, Verifier

_COPIES = "`ckptkit copy SRC DST` copies checkpoints from any store to any other"

# What only some of the methods need they import themselves: a listing takes less time than importing it all.


class StoreCopier(StoreBrowser):
    """Copies checkpoints, and changes none; ``StoreReader`` is one that verifies them too."""

    def __init__(
        self,
        url: str | Path | Storage = "checkpoints",
        *,
        cache: bool = True,
        listeners: Sequence[Listener] = (),
        mirror: str | Path | Storage | None = None,
    ) -> None:
        super().__init__(url, cache=cache, listeners=listeners)
        self.mirror: Storage | None = open_storage(mirror) if isinstance(mirror, (str, Path)) else mirror
        if scratch.current() is not None:  # what a rehearsal saves is not to be found anywhere
            self.mirror = None
        if self.mirror is not None:
            from ckptkit.store import copying_to

            copying_to.require_apart(self.storage, self.mirror)

    def choose(
        self,
        ref: str | Ref,
        *,
        verifier: "Verifier | None" = None,
        ranking: "Ranking | None" = None,
        exact_run: bool = False,
    ) -> "Chosen":
        """Return the checkpoint to resume from, verified.

        Args:
            ref: ``RUN`` (falls back to older ones that verify; a run that was resumed as another one is followed
                there), ``RUN@STEP`` (only that one) or ``RUN@best``; or a path to one of these in this store. With a
                mirror it may be there; of the same step this store's own is taken, if it verifies.
            verifier: how to verify it; ``Verifier()`` when left out.
            ranking: for ``RUN@best``.
            exact_run: ``RUN`` means the run itself, also where it went on as another one.

        Raises:
            NotFoundError: there is no such run or step.
            NothingResumableError, DamagedError: nothing, or not the one that was named, verifies.
        """
        from ckptkit.store import choosing
        from ckptkit.verification import Verifier

        how = verifier or Verifier(ledger=self.ledger)
        if self.mirror is not None:
            from ckptkit.store import tiers

            how = tiers.ByTier(how, self.storage)
        return choosing.choose(self._tiers, self._ref(ref), how, ranking, exact_run=exact_run)

    def copy_out(
        self,
        ref: str | Ref,
        destination: Path,
        *,
        ranking: "Ranking | None" = None,
        exact_run: bool = False,
        level: "Level" = "format",
        on_progress: Callable[[Progress], None] | None = None,
        jobs: int | None = None,
        link: bool = False,
        signers: "Keyring | None" = None,
    ) -> "Chosen":
        """Copy a verified checkpoint's files to a new folder, checking every byte; returns which one it was.

        What is copied is what was verified: each byte is read once (on level ``presence`` a copy is digested, too).
        ``on_progress`` is told how far it is, in bytes; ``jobs`` threads read, digest and write, all cores when left
        out. With ``link`` files that verified get another name rather than a copy, where that can be done: they are the
        store's own, and who writes to one changes the checkpoint. With ``signers`` only what one of these keys has
        signed verifies.

        Raises:
            RefusedError: the folder is in the store, contains it, or is in some other checkpoint.
            CkptkitError: see ``choose``; nothing was written.
        """
        from ckptkit.store import choosing, copying_out
        from ckptkit.store.happened import Doing

        doing, named = Doing(self.storage), self._ref(ref)
        require_path(destination, f"write a path; {_COPIES}")
        destination = Path(destination)
        self.storage.require_outside(destination)
        meter = Meter("restore", str(named), on_progress=on_progress)
        if meter.watched:
            meter.expect(choosing.size_of_newest(self.storage, named))
        with copying_out.new_folder(destination) as new:
            verifier = copying_out.CopyingVerifier(
                new, level, link=link, ledger=self.ledger, on_bytes=meter, jobs=jobs, signers=signers
            )
            chosen = self.choose(named, verifier=verifier, ranking=ranking, exact_run=exact_run)
            if verifier.copied != chosen.at:
                copying_out.copy_out(chosen, new, on_bytes=meter, jobs=jobs, link=link)
            new.finish(chosen.at)
        self._listeners.tell(lambda: doing.restored(chosen, chosen.manifest.items, "folder", named.run))
        return chosen

    def copy_to(
        self,
        destination: str | Path | Storage,
        ref: "str | Ref | Sequence[str | Ref] | None" = None,
        *,
        latest: bool = False,
        level: "Level" = "digest",
        dry_run: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        jobs: int | None = None,
    ) -> "Transfer":
        """Copy checkpoints to another store; their manifests stay the same, byte for byte.

        Each is verified while it is read, verified again where it arrives, and committed there as a save is. What is
        there already and verifies is skipped, so a copy that was cut off goes on where it was. Pins, tags and what was
        shown of a checkpoint are added to what is there. Damage and conflicts are in what is returned, never raised.

        Args:
            destination: a path or URL, created if need be; or a ``Storage`` that is open already.
            ref: as of ``locate``; or several of them. None: the whole store.
            latest: of each run only the newest that verifies.
            level: how far to verify: ``digest`` or ``format``.
            dry_run: only tell what would be copied.
            on_progress: told how far it is, in bytes that are read.
            jobs: how many threads read, digest and write; all cores when left out.

        Raises:
            NotFoundError: a reference covers nothing.
            RefusedError: one of the stores lies in the other.
            StoreError, DiskFullError: a store cannot be read or written. What was copied until then is there.
        """
        from ckptkit.store import arriving, copying_to, in_flight
        from ckptkit.store.happened import Doing

        arriving.require_level(level)
        in_flight.wait(self.storage.url)  # what goes on behind is to be copied, too
        self.storage.require()
        there = open_storage(destination) if isinstance(destination, (str, Path)) else destination
        copying_to.require_apart(self.storage, there)
        words: Sequence[str | Ref] = (ref,) if isinstance(ref, (str, Ref)) else ref or ()
        refs = selecting.refs_of(self.storage, words)
        meter = Meter("copy", on_progress=on_progress)
        return copying_to.copy(
            self.storage,
            self._covered(refs) if refs else self.locate(),
            arriving.Arrivals(there, level, self._ledger_of(there), self.ledger, jobs, meter),
            latest=latest,
            dry_run=dry_run,
            meter=meter,
            each=lambda began, one: self._listeners.tell(lambda: Doing(self.storage, began).copied(one, there.url)),
        )

    def materialise(
        self,
        ref: str | Ref,
        folder: str | Path | Storage | None = None,
        *,
        ranking: "Ranking | None" = None,
        exact_run: bool = False,
        level: "Level" = "format",
        on_progress: Callable[[Progress], None] | None = None,
        jobs: int | None = None,
        signers: "Keyring | None" = None,
    ) -> "Chosen":
        """Return the checkpoint to resume from, copied to a store of this machine.

        It is chosen from both stores; of the same step the one that is there already is taken, if it verifies. So a
        second call reads nothing again, and what a training has saved there since counts.

        Args:
            ref: as of ``choose``.
            folder: the store that it is copied to, created if need be. None: this one, for what is in its mirror.
            ranking: for ``RUN@best``.
            exact_run: ``RUN`` means the run itself, also where it went on as another one.
            level: how far to verify.
            on_progress: told how far it is, in bytes that are read.
            jobs: how many threads read, digest and write; all cores when left out.
            signers: keys by one of which it must be signed.

        Raises:
            RefusedError: the folder is in this store, or contains it.
            ConflictError: another checkpoint has the step there.
            CkptkitError: see ``choose``.
        """
        from ckptkit.store import arriving, choosing, copying_to, tiers
        from ckptkit.store.happened import Doing

        near, storage, named, began = self.storage, self._tiers, self._ref(ref), time.monotonic()
        if folder is not None:
            if isinstance(folder, (str, Path)):
                require_path(folder, f"write a path; {_COPIES}")
                folder = open_storage(folder)
            near = folder
            copying_to.require_apart(self.storage, near)
            storage = tiers.as_one(near, storage)
        meter, ledger = Meter("resume", str(named), on_progress=on_progress), self._ledger_of(near)
        if meter.watched:
            meter.expect(choosing.size_of_newest(storage, named))
        least: Level = "digest" if level in ("presence", "digest") else "format"
        verifier = tiers.Bringing(
            arriving.Arrivals(near, least, ledger, None, jobs, meter, whole=folder is not None),
            level,
            told=lambda one: self._listeners.tell(lambda: Doing(one.source.storage, began).copied(one, near.url)),
            ledger=ledger(),
            on_bytes=meter,
            jobs=jobs,
            signers=signers,
        )
        return choosing.choose(storage, named, verifier, ranking, exact_run=exact_run)

    @property
    def _tiers(self) -> Storage:
        """This store, or this one and its mirror as one."""
        if self.mirror is None:
            return self.storage
        from ckptkit.store import tiers

        return tiers.as_one(self.storage, self.mirror)

    def _ledger_of(self, storage: Storage) -> Callable[[], Ledger]:
        """Return what opens the ledger of a store: one that is not there yet gets another name when it is."""
        return lambda: Ledger.of(storage.same_store, cache=self._cache)
