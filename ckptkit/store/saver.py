"""StoreSaver: saves live objects and files, while the caller waits or behind its back."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from ckptkit import registry
from ckptkit.backend import SupportsEstimate, SupportsSnapshot
from ckptkit.problem import Problem
from ckptkit.progress import Meter, Progress
from ckptkit.storage import Storage
from ckptkit.storage.remote import SupportsCaution
from ckptkit.store import in_flight, saving, sealing
from ckptkit.store.adopter import StoreAdopter
from ckptkit.store.anchors import Anchor
from ckptkit.store.committed import Committed, do_then
from ckptkit.store.details import DetailFields
from ckptkit.store.files import Files
from ckptkit.store.happened import Doing
from ckptkit.store.in_flight import SaveHandle
from ckptkit.store.sources import Factories

if TYPE_CHECKING:
    from ckptkit.signing.keys import SigningKey


class SaveFields(DetailFields, total=False):
    """Keyword arguments of ``CheckpointStore.save``, for type checkers."""

    sign: "SigningKey | Path | str | None"
    then: Callable[[Committed], object] | None
    tags: Sequence[str]
    probe: bool
    replace: bool
    folder: str | None
    flat: bool
    factories: Factories | None
    trust: Sequence[Path | str]
    on_bytes: Callable[[int], None] | None
    on_progress: Callable[[Progress], None] | None


class StoreSaver(StoreAdopter):
    """Saves checkpoints; ``CheckpointStore`` is one that restores them too.

    As a context manager it waits at the end of the block for the save that goes on behind.
    """

    @overload
    def save(
        self, run: str, step: int, items: Mapping[str, Any], *, wait: Literal[True] = ..., **how: Unpack[SaveFields]
    ) -> Committed: ...

    @overload
    def save(
        self, run: str, step: int, items: Mapping[str, Any], *, wait: Literal[False], **how: Unpack[SaveFields]
    ) -> SaveHandle: ...

    @overload
    def save(
        self, run: str, step: int, items: Mapping[str, Any], *, wait: bool, **how: Unpack[SaveFields]
    ) -> Committed | SaveHandle: ...

    def save(
        self,
        run: str,
        step: int,
        items: Mapping[str, Any],
        *,
        wait: bool = True,
        sign: "SigningKey | Path | str | None" = None,
        then: Callable[[Committed], object] | None = None,
        tags: Sequence[str] = (),
        probe: bool = True,
        replace: bool = False,
        folder: str | None = None,
        flat: bool = False,
        factories: Factories | None = None,
        trust: Sequence[Path | str] = (),
        on_bytes: Callable[[int], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **details: Unpack[DetailFields],
    ) -> Committed | SaveHandle:
        """Save all items as one checkpoint, or nothing.

        Args:
            run: name of the run; may contain "/".
            step: training step, 0 to 10**12.
            items: live objects by item name (the backend is picked by object), or ``Path`` / ``Files`` for files that
                a trainer wrote (picked by content, and copied).
            wait: False: return as soon as the state is copied, and write, check and commit it in a thread of its own.
                One save of the process goes on at a time: the next one waits for it.
            sign: a private key, or its file, that signs it once it is committed; that of the store when left out.
            then: called with what was committed, by the thread that did it, before the next save may begin.
            tags: words for retention.
            probe: record proofs of resume, where backends can.
            replace: move a checkpoint of this step that verifies to the trash first. One that does not verify always
                makes room.
            folder: name of the checkpoint's folder, ending in the step, where a trainer's layout asks for one
                (``checkpoint-5000``); ``step-00005000`` when left out.
            flat: put the files of all items right into that folder, as such layouts want it, rather than each item's
                into a folder of its own.
            factories: by item, by role (``dataset``, ``env``, ``model``), what builds a fresh definition, for backends
                that want one to test against.
            trust: files among those saved that the caller answers for, whatever loading them would run: a pickle that
                you wrote yourself. Exactly these bytes; the manifest notes it, and ``verify`` reports it.
            on_bytes: called with the size of each block digested.
            on_progress: told how far it is, in bytes digested; the total is known where all items are
                files.
            details: what the manifest says beside its items: ``metrics``, ``counters``, ``config``, ``resume``,
                ``cwd``, ``env``, ``parent``, ``boundary``; see ``Details``.

        Returns:
            What was committed; without waiting, a handle that tells when it is.

        Raises:
            UsageError, RunNameError: a name, step or value is invalid.
            ConflictError: the step is committed already.
            DiskFullError: it does not fit.
            InconsistentSetError: the items do not agree on the step or a counter.
            BackendError, DamagedError, UnsafeContentError: an item cannot be saved; nothing was committed.
            PartlyDoneError: it was committed (as the error's ``committed``), but not tagged or signed, or the
                checkpoint it replaces is still there under another folder's name.
            CkptkitError: without waiting, what can be told beforehand, and what a save of this store that went on
                before has failed with, if nobody has heard of it yet; all else comes from the handle.
        """
        key = self._signer if sign is None else self._key(sign)
        doing, tags = Doing(self.storage), (tags,) if isinstance(tags, str) else tags
        asked = saving.Asked(
            self.storage,
            run,
            step,
            self._details(run, details),
            tags=tags,
            algorithm=self._digest,
            dedup=self._dedup,
            probe=probe,
            replace=replace,
            name=folder,
            flat=flat,
        )
        meter = Meter("save", f"{run}@{step}", on_progress=on_progress, on_bytes=on_bytes)
        if wait:
            self.wait()
            begun = saving.begin(asked, items, factories=factories, trust=trust, meter=meter)
            return self._finished(doing, begun, then, key)
        with in_flight.turn(f"{run}@{step}", self.storage.url) as turn:
            in_flight.surface(self.storage.url)
            begun = saving.begin(asked, items, factories=factories, trust=trust, meter=meter, memory=turn.memory)
            anchor = self._anchors.captured(run, step)
            return turn.go_on(lambda: self._finished(doing, begun, then, key, anchor))

    def _finished(
        self,
        doing: Doing,
        begun: saving.Begun,
        then: Callable[[Committed], object] | None,
        key: "SigningKey | None",
        anchor: Anchor | None = None,
    ) -> Committed:
        try:
            saved = begun.finish()
        except BaseException:
            if anchor is not None:
                self._anchors.failed(anchor)
            raise
        self._note(saved, anchor)
        committed = Committed(saved.at, saved.manifest, saved.left, [*saved.warnings, *_cautions(self.storage)])
        undone = self._sign(committed, key) or saved.undone
        self._listeners.tell(lambda: doing.saved(committed, () if saved.undone else begun.asked.tags))
        self._mirror(committed, replaces=begun.asked.replace)
        if then is not None:
            undone = undone or do_then(then, committed)
        if undone is not None:
            undone.committed = committed
            raise undone
        return committed

    def reserve(self, items: Mapping[str, Any] | int) -> int:
        """Have memory for copies ready, so that the first save that does not wait takes no longer than the others.

        Call it when all state is there: most optimizers have theirs after the first step.

        Args:
            items: what will be saved, as of ``save``; or a number of bytes.

        Returns:
            How many bytes are ready.
        """
        if isinstance(items, int):
            size = items
        else:
            live = {name: item for name, item in items.items() if not isinstance(item, (Path, Files))}
            backends = {name: registry.for_object(item, name=name) for name, item in live.items()}
            copying = {name: one for name, one in backends.items() if isinstance(one, SupportsSnapshot)}
            size = sum(b.estimate_bytes(live[n]) for n, b in copying.items() if isinstance(b, SupportsEstimate))
            sealing.surroundings(backend.name for backend in backends.values())  # who asks again is told faster
        in_flight.reserve(size)
        return size

    def wait(self) -> None:
        """Wait until what goes on behind is durable; raises what it failed with, if nobody has heard of it yet."""
        in_flight.settle(self.storage.url)

    def unmirrored(self) -> Sequence[str]:
        """Wait until what was saved is in the mirror, too, and return one line for each run of which something is not.

        The next save of that run tries again. Each failure is returned once; it was logged when it happened.
        """
        self.wait()
        return self._mirroring.missing() if self._mirroring is not None else ()

    def close(self) -> None:
        """Wait as ``wait`` does, and for the mirror, and give the memory back; the store can be used as before."""
        try:
            self.wait()
        finally:
            in_flight.give_back()
            if self._mirroring is not None:
                self._mirroring.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cautions(storage: Storage) -> list[Problem]:
    """Return what whoever saves there should know of the store."""
    caution = storage.caution if isinstance(storage, SupportsCaution) else None
    return [] if caution is None else [Problem("store-not-create-only", caution, severity="warning")]
