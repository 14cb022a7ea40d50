"""StoreAdopter: turns what trainers wrote into checkpoints, where it lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack, overload

from ckptkit.backend import SavedItem
from ckptkit.digest import ALGORITHMS, DEFAULT_ALGORITHM
from ckptkit.errors import NotFoundError, PartlyDoneError, UsageError
from ckptkit.listeners import Listener
from ckptkit.storage import Storage
from ckptkit.store import adoption, anchors, in_flight, saving
from ckptkit.store.adoption import Adopted
from ckptkit.store.arriving import Arrivals
from ckptkit.store.committed import Committed, do_then
from ckptkit.store.details import DetailFields, Details
from ckptkit.store.happened import Doing
from ckptkit.store.in_flight import SaveHandle
from ckptkit.store.keeper import StoreKeeper
from ckptkit.store.mirroring import Mirroring
from ckptkit.store.sharing import Dedup, checked
from ckptkit.store.stranger_item import Wrote
from ckptkit.verification import trust

if TYPE_CHECKING:
    from ckptkit.signing.keys import SigningKey


class AdoptFields(DetailFields, total=False):
    """Keyword arguments of ``CheckpointStore.adopt``, for type checkers."""

    then: Callable[[Committed], object] | None
    trainer: str | None
    folder: Path | None
    copy: Path | None
    on_bytes: Callable[[int], None] | None


class StoreAdopter(StoreKeeper):
    """Adopts checkpoints of trainers; ``CheckpointStore`` is one that saves its own and restores both."""

    def __init__(
        self,
        url: str | Path | Storage = "checkpoints",
        *,
        digest: str = DEFAULT_ALGORITHM,
        cache: bool = True,
        listeners: Sequence[Listener] = (),
        dedup: Dedup = "off",
        mirror: str | Path | Storage | None = None,
        signer: "SigningKey | Path | str | None" = None,
    ) -> None:
        if digest not in ALGORITHMS:
            raise UsageError(f"unknown digest algorithm {digest!r}", hint=f"use one of {', '.join(ALGORITHMS)}")
        super().__init__(url, cache=cache, listeners=listeners, mirror=mirror)
        self._digest = digest
        self._dedup = checked(dedup)
        self._signer = self._key(signer)
        self._resumed: dict[str, tuple[str, int]] = {}
        self._anchors = anchors.of(self.storage)
        self._mirroring: Mirroring | None = None
        if (there := self.mirror) is not None:
            ledger = self._ledger_of(there)
            # In one thread: training has the other cores.
            self._mirroring = Mirroring(
                self.storage, lambda: Arrivals(there, "digest", ledger, self.ledger, jobs=1), self._listeners.tell
            )

    def adopt_in_place(
        self,
        run: str,
        stem: str,
        items: Mapping[str, Sequence[Path] | Path],
        details: Details | None = None,
        *,
        saved: Mapping[str, SavedItem] | None = None,
        **words: Unpack[DetailFields],
    ) -> Committed:
        """Turn a trainer's files into a checkpoint in place, by writing a manifest.

        Args:
            run: the run's name; the files are right in its folder, or in its subfolder ``stem``.
            stem: for example ``ep000050``: ``ep000050.manifest.json`` is written beside the files. Or the name of a
                folder, for example ``checkpoint-5000``, into which ``manifest.json`` is written; the items must then
                list everything in it. Ends in the step number.
            items: by name, the files of each item, the main one first (``ep000050.zip``, ``ep000050_metadata.json``).
            details: what the manifest says beside its items, as one value; or leave it out, and give the words.
            saved: by name, what a backend returned when it wrote an item's files itself: its probe and its hazards.
            words: the same as of ``save``: ``metrics``, ``counters``, ...

        Raises:
            ConflictError: the step is committed already.
            UnsafeContentError: a file lies elsewhere, or would run code when loaded.
            CkptkitError: see ``save``.
        """
        if details is not None and words:
            raise UsageError(f"adopt_in_place: {next(iter(words))} is given beside details", hint="give one of the two")
        in_flight.settle(self.storage.url)
        doing, said = Doing(self.storage), details or self._details(run, words)
        done = saving.adopt_in_place(self.storage, run, stem, items, said, saved=saved, algorithm=self._digest)
        self._note(done)
        committed = Committed(done.at, done.manifest, warnings=done.warnings)
        undone = self._sign(committed, self._signer)
        self._listeners.tell(lambda: doing.saved(committed, (), in_place=True))
        self._mirror(committed)
        if undone is not None:
            undone.committed = committed
            raise undone
        return committed

    @overload
    def adopt(
        self,
        run: str,
        main: str,
        step: int,
        items: Mapping[str, Wrote],
        *,
        wait: Literal[True] = ...,
        **how: Unpack[AdoptFields],
    ) -> Adopted: ...

    @overload
    def adopt(
        self, run: str, main: str, step: int, items: Mapping[str, Wrote], *, wait: bool, **how: Unpack[AdoptFields]
    ) -> Adopted | SaveHandle: ...

    def adopt(
        self,
        run: str,
        main: str,
        step: int,
        items: Mapping[str, Wrote],
        *,
        wait: bool = True,
        then: Callable[[Committed], object] | None = None,
        trainer: str | None = None,
        folder: Path | None = None,
        copy: Path | None = None,
        on_bytes: Callable[[int], None] | None = None,
        **details: Unpack[DetailFields],
    ) -> Adopted | SaveHandle:
        """Turn what a trainer wrote into a checkpoint where it lies: ``MAIN@STEP.manifest.json`` is written beside it.

        Nothing is copied, and nothing is written into a trainer's folder.

        Args:
            run: name of the run; what is adopted lies right in its folder, unless ``folder`` is given.
            main: name of the checkpoint's folder or main file.
            step: training step, as the trainer says it; the name need not.
            items: by name, what was written.
            wait: False: return once it is known which files there are, and digest and list them in a thread, as a save
                that is not waited for. What is written into them from then on is refused. Where the trainer removes
                them before they are listed, that is only logged: it means to do without them.
            then: called with what was committed, by the thread that did it, before the next save may begin.
            trainer: kind of the trainer's layout (``hf_trainer``), noted in the manifest.
            folder: where ``main`` lies, if not in the run's folder: only the manifests are in this store then.
            copy: of what lies on a service, a folder of this machine that has a copy of its files, checked to be the
                ones that are there; one is made where it is left out.
            on_bytes: called with the size of each block that is digested.
            details: what the manifest says beside its items, as of ``save``.

        Returns:
            What came of it; without waiting, a handle.

        Raises:
            ConflictError: another checkpoint has the step, or the trainer is writing this one.
            NotFoundError: there is no such file.
            UnsafeContentError, DamagedError: a link, content that would run code when loaded, or half a file.
            InconsistentSetError: the files are of another step.
            CkptkitError: without waiting, as of ``save``.
        """
        doing, said = Doing(self.storage), self._details(run, details)

        def begun(said: Details) -> adoption.Begun:
            return adoption.begin(
                self.storage,
                run,
                main,
                step,
                items,
                said,
                trainer=trainer,
                folder=folder,
                copy=copy,
                algorithm=self._digest,
                ledger=self.ledger,
                on_bytes=on_bytes,
            )

        if wait:
            in_flight.settle(self.storage.url)
            return self._adopted(doing, begun(said), then)
        with in_flight.turn(f"{run}@{step}", self.storage.url) as turn:
            in_flight.surface(self.storage.url)
            one = begun(said.frozen())
            anchor = None if one.known is not None else self._anchors.captured(run, step)
            return turn.go_on(lambda: self._adopted(doing, one, then, anchor).committed, harmless=NotFoundError)

    def _adopted(
        self,
        doing: Doing,
        begun: adoption.Begun,
        then: Callable[[Committed], object] | None,
        anchor: anchors.Anchor | None = None,
    ) -> Adopted:
        try:
            adopted = begun.finish()
        except BaseException:
            if anchor is not None:
                self._anchors.failed(anchor)
            raise
        committed, undone = adopted.committed, None
        if adopted.how != "known":
            self._note(adopted, anchor)
            undone = self._sign(committed, self._signer)
            self._listeners.tell(lambda: doing.saved(committed, (), in_place=True))
            self._mirror(committed)
        if then is not None:
            undone = do_then(then, committed) or undone
        if undone is not None:
            undone.committed = committed
            raise undone
        return adopted

    @staticmethod
    def _key(given: "SigningKey | Path | str | None") -> "SigningKey | None":
        """Return the key in a file, read now: what is wrong with it is told before anything is saved."""
        if given is None:
            return None
        from ckptkit.store import signing  # cryptography is imported for who signs

        return signing.key_of(given)

    def _sign(self, committed: Committed, key: "SigningKey | None") -> PartlyDoneError | None:
        """Sign what was committed, before it is told of and copied; returns what could not be done."""
        if key is None:
            return None
        from ckptkit.store import signing

        return signing.sign_saved(committed, key)

    def clear(self, run: str) -> Sequence[str]:
        """Take away the manifests of adopted checkpoints that their trainer has removed or written over; one line each.

        ``prune`` does it too.
        """
        return adoption.clear(self.storage, run)

    def _mirror(self, done: Committed, *, replaces: bool = False) -> None:
        if self._mirroring is not None:
            self._mirroring.saved(done.at, replaces=replaces)

    def _note(self, saved: saving.Saved | Adopted, anchor: anchors.Anchor | None = None) -> None:
        self._anchors.saved(saved.at, saved.manifest, anchor)
        checked = saved.checked if isinstance(saved, saving.Saved) else {}
        trust.note_saved(self.ledger, saved.at, saved.manifest, saved.warnings, saved.digested, checked=checked)

    def _details(self, run: str, said: DetailFields) -> Details:
        details = Details.of(said)
        return details if details.parent else replace(details, parent=self._resumed.get(run))
