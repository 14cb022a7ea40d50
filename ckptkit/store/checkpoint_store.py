"""CheckpointStore: what training code and the command line talk to."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from ckptkit.storage import Entry
from ckptkit.storage.remote import SupportsStats
from ckptkit.store import choosing, preparing, restoring
from ckptkit.store.details import origin_of, require_open_run
from ckptkit.store.happened import Doing
from ckptkit.store.observing import DEFAULT_STEPS, NoteAfter, Observer, Prove
from ckptkit.store.reference import Ref
from ckptkit.store.restoring import Restored, RestoreFields
from ckptkit.store.saver import StoreSaver
from ckptkit.store.sources import Factories
from ckptkit.verification import Level


class CheckpointStore(StoreSaver):
    """Checkpoints of many runs below one folder.

    Args:
        url: a path or ``file://`` URL, created by the first save; or a ``Storage`` that is open already.
        digest: ``blake3`` (default) or ``sha256``.
        cache: know what was verified before, and keep what is found, in the user's cache folder; see
            docs/explanation/why-content-decides.md.
        listeners: as of ``listen``.
        dedup: what a save stores only once: ``off`` (nothing), ``file`` (files that the checkpoint before has, too) or
            ``tensor`` (also tensors of safetensors files and members of ``.npz`` archives); see
            docs/how-to/store-what-changed.md.
        mirror: a store that each checkpoint is copied to after it was saved, in a thread of its own, and that may have
            newer ones to restore; see docs/how-to/copy-and-mirror.md.
        signer: a private key, or its file, that signs each checkpoint that is saved or adopted; see
            docs/how-to/sign-checkpoints.md.

    Example:
        >>> store = CheckpointStore("checkpoints")
        >>> store.save("ppo/run1", 5000, {"policy": model, "rng": generator}, metrics={"reward": 187.5})
        >>> restored = store.restore("ppo/run1", into={"policy": model, "rng": generator})
        >>> restored.step
        5000
    """

    @contextmanager
    def staged(self, run: str) -> Iterator[Path]:
        """Return a context with an empty folder on a run's file system, for files that are put in place later.

        What is left in it is removed afterwards; ``prune`` removes that of a process that died.
        """
        with self.storage.stage(run) as staging:
            yield staging.folder

    @overload
    def restore(
        self,
        ref: str | choosing.Chosen,
        into: Mapping[str, Any],
        *,
        missing_ok: Literal[False] = ...,
        **how: Unpack[RestoreFields],
    ) -> Restored: ...

    @overload
    def restore(
        self, ref: str | choosing.Chosen, into: Mapping[str, Any], *, missing_ok: bool, **how: Unpack[RestoreFields]
    ) -> Restored | None: ...

    def restore(
        self,
        ref: str | choosing.Chosen,
        into: Mapping[str, Any],
        *,
        factories: Factories | None = None,
        level: Level = "format",
        ranking: choosing.Ranking | None = None,
        missing_ok: bool = False,
        readback: bool = True,
        exact_run: bool = False,
    ) -> Restored | None:
        """Put the newest checkpoint that verifies back into live objects.

        Args:
            ref: as of ``choose``, or what it returned, which is verified already.
            into: live objects by item name; None builds a new object where the backend can.
            factories: by item, by role (``dataset``, ``env``, ``model``), what builds a definition.
            level: how far to verify before anything is loaded.
            ranking: for ``RUN@best``.
            missing_ok: return None when the run has no checkpoint at all (a fresh start). Damaged ones still raise.
            readback: digest every part again once it is put back, and refuse to continue if one is not what was saved.
            exact_run: ``RUN`` means the run itself, even if it was resumed as another one.

        Raises:
            NotFoundError: there is no such run, step or item.
            NothingResumableError, DamagedError: nothing, or not the one that was named, verifies.
            BackendError: the state does not fit its target; targets named later are unchanged.
        """
        self.wait()
        doing = Doing(self.storage)
        if isinstance(ref, choosing.Chosen):
            chosen, asked, copied = ref, ref.at.run, None
        else:
            parsed = Ref.parse(ref)
            if missing_ok and not choosing.exists(self._tiers, parsed):
                return None
            asked = parsed.run
            chosen, copied = self._chosen(parsed, into, level=level, ranking=ranking, exact_run=exact_run)
        restored = restoring.restore(chosen, into, factories or {}, check=readback, copied=copied)
        for run in {asked, restored.run}:  # two where the run was followed: either may be what is trained now
            self._resumed[run] = (restored.run, restored.step)
        self._anchors.restored(chosen.at, chosen.manifest)
        self._listeners.tell(lambda: doing.restored(chosen, into, "objects", asked))
        return restored

    def _chosen(
        self, ref: Ref, names: Collection[str], *, level: Level, ranking: choosing.Ranking | None, exact_run: bool
    ) -> tuple[choosing.Chosen, Path | None]:
        """Return what is restored, and where its files were copied to as they were verified: each is read once."""
        if self._tiers is not self.storage or not isinstance(self.storage, SupportsStats):
            # What is in the mirror is copied here first, and the run goes on from here.
            return self.materialise(ref, level=level, ranking=ranking, exact_run=exact_run), None
        from ckptkit.store import kept_copies  # of a service only

        return kept_copies.choose(
            self.storage, ref, names, self.ledger, level=level, ranking=ranking, exact_run=exact_run
        )

    def resumed(self, ref: str) -> None:
        """Tell the store that the run continues from a checkpoint that was put back by means other than ``restore``.

        For frameworks that load their files themselves: the next save names it as its parent, and an observer compares
        the run with it.

        Args:
            ref: ``RUN@STEP``.

        Raises:
            NotFoundError, ManifestError: there is no such checkpoint, or its manifest cannot be read.
        """
        self.wait()
        doing, at = Doing(self.storage), self._one(ref)
        manifest = self.manifest(at)
        self._resumed[at.run] = (at.run, manifest.step)
        self._anchors.restored(at, manifest)
        self._listeners.tell(lambda: doing.restored(choosing.Chosen(at, manifest), manifest.items, "framework"))

    def prepare(self, run: str, *, after: int | str | None = None, replace_newer: bool = False) -> Sequence[Entry]:
        """Make a run ready to be trained, or say why it cannot be; call it before the first step.

        Its folder is created, and something is written, flushed, renamed and removed in it, as a save would. The run is
        held (see ``hold``). And no checkpoint that verifies may lie beyond the step that training continues from: to go
        back behind one, give the new training another run name, or have the newer ones moved to the trash.

        Args:
            run: name of the run.
            after: step that training continues from, -1 for a fresh start; or ``RUN@STEP``, which is then the parent of
                what is saved. When left out, what this store object restored for the run, else a fresh start.
            replace_newer: move what lies beyond that step to the trash.

        Returns:
            What was moved.

        Raises:
            StoreError, DiskFullError: nothing can be saved there.
            LockedError: another process is training this run.
            ConflictError: checkpoints that verify are in the way; none is touched.
            ProtectedError: one that would be moved is pinned.
        """
        self.wait()
        if isinstance(after, str):
            self._resumed[run] = origin_of(after, "after")
            after = self._resumed[run][1]
        if after is None:
            after = self._resumed[run][1] if run in self._resumed else preparing.FRESH
        doing, begin = Doing(self.storage), after
        moved = preparing.prepare(self.storage, run, after=begin, replace_newer=replace_newer)
        if self._mirroring is not None and self.mirror is not None:
            self._mirroring.wait()
            preparing.make_way(self.mirror, run, after=begin, replace_newer=replace_newer)
        if moved:
            self._listeners.tell(lambda: doing.made_way(moved, begin))
        return moved

    def hold(self, run: str) -> None:
        """Hold a run for this process until it ends, however it ends, or calls ``release``; a repeat has no effect.

        ``prepare`` and ``observe`` call it. A plain save does not take the hold.

        Raises:
            LockedError: another process holds the run; the message says which one.
        """
        self.storage.require_reachable(run)
        require_open_run(self.storage, run)
        self.storage.hold(run)

    def release(self, run: str) -> None:
        """Let a run go before this process ends: for a process that trains many runs or lives on after a training."""
        self.storage.release(run)

    def observe(
        self,
        run: str,
        *,
        steps: int = DEFAULT_STEPS,
        prove: Prove = "first",
        note_after: NoteAfter = "proved",
        resume: Sequence[str] | str | None = None,
        seconds: int = 1800,
    ) -> Observer:
        """Return an observer with which the run proves itself; see ``Observer``.

        Args:
            run: name of the run.
            steps: how many steps to note after a checkpoint; each costs a digest of all parts.
            prove: ``"first"``: note the steps after the first save of this process, and rehearse that checkpoint in the
                background; M: the same after the first and then every M-th save; ``"never"``: do nothing.
            note_after: ``"every"``: note the steps after the other saves too, without rehearsing those, so that a real
                resume from any of them is compared with its notes.
            resume: the command that resumes the run, if ``save`` is not given one (as an argument list, or one line).
            seconds: limit for a rehearsal in the background.

        Raises:
            UsageError: an argument makes no sense.
            LockedError: another process is training this run; see ``hold``.
        """
        self.hold(run)
        return Observer(
            self.storage, run, steps=steps, prove=prove, note_after=note_after, resume=resume, seconds=seconds
        )
