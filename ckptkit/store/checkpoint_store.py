"""CheckpointStore: what training code and the command line talk to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, overload

from ckptkit.backend import SavedItem
from ckptkit.digest import ALGORITHMS, DEFAULT_ALGORITHM
from ckptkit.errors import ManifestError, NotFound, UsageError
from ckptkit.manifest.models import Manifest
from ckptkit.manifest.names import check_tag
from ckptkit.manifest.redaction import require_open
from ckptkit.problem import Problem
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import Location, holds, open_storage, staging
from ckptkit.storage import refs as marks
from ckptkit.store import adopting, anchors, choosing, listing, outside, preparing, pruning, restoring, saving
from ckptkit.store.details import Details, require_open_run
from ckptkit.store.observing import DEFAULT_STEPS, NoteAfter, Observer, Prove
from ckptkit.store.refs import Ref
from ckptkit.store.restoring import Restored
from ckptkit.store.writing import Factories
from ckptkit.verification import Level, Report, Verifier
from ckptkit.verification.marks import damaged
from ckptkit.verification.presence import read_manifest


@dataclass(frozen=True, slots=True)
class Committed:
    """A checkpoint that was just committed.

    Attributes:
        at: where it is.
        manifest: its manifest.
        left: by item, what lay in the folder that was given and was not saved, one line each.
        warnings: what was found in the files and does not forbid to save them.
    """

    at: Location
    manifest: Manifest
    left: Mapping[str, Sequence[str]] = field(default_factory=dict)
    warnings: Sequence[Problem] = ()

    @property
    def path(self) -> Path:
        """The checkpoint's folder."""
        return self.at.folder


class CheckpointStore:
    """Checkpoints of many runs below one folder.

    Args:
        url: a path or ``file://`` URL; created by the first save.
        digest: ``blake3`` (default) or ``sha256``.

    Example:
        >>> store = CheckpointStore("checkpoints")
        >>> store.save("ppo/run1", 5000, {"policy": model, "rng": generator}, metrics={"reward": 187.5})
        >>> restored = store.restore("ppo/run1", into={"policy": model, "rng": generator})
        >>> restored.step
        5000
    """

    def __init__(self, url: str | Path = "checkpoints", *, digest: str = DEFAULT_ALGORITHM) -> None:
        if digest not in ALGORITHMS:
            raise UsageError(f"unknown digest algorithm {digest!r}", hint=f"use one of {', '.join(ALGORITHMS)}")
        self.storage = open_storage(url)
        self._digest = digest
        self._resumed: dict[str, tuple[str, int]] = {}
        self._anchors = anchors.of(self.storage.root)

    def save(
        self,
        run: str,
        step: int,
        items: Mapping[str, Any],
        *,
        metrics: Mapping[str, float] | None = None,
        counters: Mapping[str, int] | None = None,
        config: Mapping[str, Any] | None = None,
        resume: Sequence[str] | None = None,
        cwd: str | Path | None = None,
        env: Sequence[str] = (),
        parent: str | None = None,
        boundary: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        probe: bool = True,
        replace: bool = False,
        folder: str | None = None,
        flat: bool = False,
        factories: Factories | None = None,
        trust: Sequence[Path | str] = (),
        on_bytes: Callable[[int], None] | None = None,
    ) -> Committed:
        """Save all items as one checkpoint, or nothing.

        Args:
            run: name of the run; may contain "/".
            step: training step, 0 to 10**12.
            items: live objects by item name (the backend is picked by object), or ``Path`` / ``Files`` for files that
                a trainer wrote (picked by content, and copied).
            metrics: numbers by name, for ``RUN@best`` and retention.
            counters: whole counts by name (episode, epoch); items that know the same counter must agree.
            config: JSON values of the run; secret-looking text is masked.
            resume: argument list that goes on from here; fields such as ``{path}``, ``{items.agent}``, ``{step}``.
            cwd: folder to run that in; the current one when left out.
            env: names of environment variables that it needs; values are never stored.
            parent: ``RUN@STEP`` that this run was resumed from; known by itself after ``restore``.
            boundary: ``{"kind", "requested_at", "saved_at"}`` where saving had to wait for a clean boundary.
            tags: words for retention.
            probe: record proofs of resume, where backends can.
            replace: move a checkpoint of this step that verifies to the trash first. One that does not verify always
                makes room.
            folder: name of the checkpoint's folder, ending in the step, where a trainer's layout asks for one
                (``checkpoint-5000``); ``step-00005000`` when left out.
            flat: put the files of all items right into that folder, as such layouts draw them, not each item's into
                one of its own.
            factories: by item, by role (``dataset``, ``env``, ``model``), what builds a fresh definition, where a
                backend wants one to test against.
            trust: files among those that are saved for which the caller answers, whatever loading them would run: a
                pickle that you wrote yourself. Exactly these bytes; the manifest notes it, and ``verify`` tells it.
            on_bytes: progress of digesting.

        Raises:
            UsageError, RunNameError: a name, step or value is off.
            ConflictError: the step is committed already.
            DiskFullError: it does not fit.
            InconsistentSetError: the items do not agree on the step or a counter.
            BackendError, DamagedError, UnsafeContentError: an item cannot be saved; nothing was committed.
            PartlyDone: it was committed (the error's ``committed`` is it), but not tagged, or what it replaces under
                another folder's name is still there.
        """
        require_open("the parent", [parent or ""])
        origin = Ref.parse(parent) if parent is not None else None
        if origin is not None and origin.step is None:
            raise UsageError(f"parent {parent!r} names no step", hint="write RUN@STEP")
        details = Details(
            metrics=metrics or {},
            counters=counters or {},
            config=config or {},
            resume=resume,
            cwd=str(cwd or Path.cwd()) if resume is not None else None,
            env=env,
            parent=(origin.run, origin.step) if origin and origin.step is not None else self._resumed.get(run),
            boundary=boundary,
        )
        saved = saving.save(
            self.storage,
            run,
            step,
            items,
            details,
            tags=tags,
            algorithm=self._digest,
            probe=probe,
            replace=replace,
            name=folder,
            flat=flat,
            factories=factories or {},
            trust=trust,
            on_bytes=on_bytes,
        )
        self._anchors.saved(saved.at, saved.manifest)
        committed = Committed(saved.at, saved.manifest, saved.left, saved.warnings)
        if saved.undone is not None:
            saved.undone.committed = committed
            raise saved.undone
        return committed

    def adopt_in_place(
        self,
        run: str,
        stem: str,
        items: Mapping[str, Sequence[Path] | Path],
        details: Details | None = None,
        *,
        saved: Mapping[str, SavedItem] | None = None,
    ) -> Committed:
        """Make files of a trainer a checkpoint where they lie, by writing a manifest.

        Args:
            run: the run's name; the files lie right in its folder, or in the folder ``stem`` there.
            stem: for example ``ep000050``: ``ep000050.manifest.json`` is written beside the files. Or the name of a
                folder, for example ``checkpoint-5000``, into which ``manifest.json`` is written; the items must then
                list all that is in it. Ends in the step number.
            items: by name, the files of each item, the main one first (``ep000050.zip``, ``ep000050_metadata.json``).
            details: what the manifest says beside its items.
            saved: by name, what a backend said when it wrote the files of an item itself: its probe and its hazards.

        Raises:
            ConflictError: the step is committed already.
            UnsafeContentError: a file lies elsewhere, or would run code when loaded.
            CkptkitError: see ``save``.
        """
        done = saving.adopt_in_place(
            self.storage, run, stem, items, details or Details(), saved=saved, algorithm=self._digest
        )
        self._anchors.saved(done.at, done.manifest)
        return Committed(done.at, done.manifest, warnings=done.warnings)

    def unlisted(self, run: str | None = None) -> Sequence[adopting.Unlisted]:
        """Return what trainers wrote into a run, or into all of the store, and no manifest lists."""
        return adopting.find(self.storage, run)

    def staged(self, run: str) -> AbstractContextManager[Path]:
        """Return a context with an empty folder on the file system of a run, for files that are put in place later.

        What is left in it goes afterwards; that of a process which died, ``prune`` removes.
        """
        return staging.staged(self.storage.state_folder(run))

    @overload
    def restore(
        self,
        ref: str,
        into: Mapping[str, Any],
        *,
        factories: Factories | None = ...,
        level: Level = ...,
        ranking: choosing.Ranking | None = ...,
        missing_ok: Literal[False] = ...,
        readback: bool = ...,
        exact_run: bool = ...,
    ) -> Restored: ...

    @overload
    def restore(
        self,
        ref: str,
        into: Mapping[str, Any],
        *,
        factories: Factories | None = ...,
        level: Level = ...,
        ranking: choosing.Ranking | None = ...,
        missing_ok: bool,
        readback: bool = ...,
        exact_run: bool = ...,
    ) -> Restored | None: ...

    def restore(
        self,
        ref: str,
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
            ref: ``RUN`` (falls back to older ones that verify; a run that was resumed as another one is followed
                there), ``RUN@STEP`` (just that one) or ``RUN@best``.
            into: live objects by item name; None builds a new object where the backend can.
            factories: by item, by role (``dataset``, ``env``, ``model``), what builds a definition.
            level: how far to verify before anything is loaded.
            ranking: for ``RUN@best``.
            missing_ok: return None when the run has no checkpoint at all (a fresh start). Damaged ones still raise.
            readback: digest every part again once it is put back, and refuse to go on if one is not what was saved.
            exact_run: ``RUN`` means the run itself, also where it went on as another one.

        Raises:
            NotFound: there is no such run, step or item.
            NothingResumable, DamagedError: nothing, or not the one that was named, verifies.
            BackendError: the state does not fit its target; targets named later are unchanged.
        """
        parsed = Ref.parse(ref)
        if missing_ok and not self._exists(parsed):
            return None
        chosen = choosing.choose(self.storage, parsed, Verifier(level), ranking, exact_run=exact_run)
        restored = restoring.restore(chosen, into, factories or {}, check=readback)
        for run in {parsed.run, restored.run}:  # two where the run was followed: either may be what is trained now
            self._resumed[run] = (restored.run, restored.step)
        self._anchors.restored(chosen.at, chosen.manifest)
        return restored

    def resumed(self, ref: str) -> None:
        """Tell the store that the run goes on from a checkpoint that was put back by other means than ``restore``.

        For frameworks that load their files themselves: the next save names it as its parent, and an observer holds
        the run against it.

        Args:
            ref: ``RUN@STEP``.

        Raises:
            NotFound, ManifestError: there is no such checkpoint, or its manifest cannot be read.
        """
        at = self._one(ref, None)
        manifest, problem = read_manifest(at)
        if manifest is None:
            raise ManifestError(f"{at.ref}: {problem.message if problem else 'its manifest cannot be read'}")
        self._resumed[at.run] = (at.run, manifest.step)
        self._anchors.restored(at, manifest)

    def prepare(self, run: str, *, after: int | str | None = None, replace_newer: bool = False) -> Sequence[Location]:
        """Make a run ready to be trained, or say why it cannot be; to be called before the first step.

        Its folder is created, and something is written, flushed, renamed and removed in it, as a save would. The run is
        held (see ``hold``). And no checkpoint that verifies may lie beyond the step that training goes on from: who
        goes back behind one gives the new training another run name, or has the newer ones moved to the trash.

        Args:
            run: name of the run.
            after: step that training goes on from, -1 for a fresh start; or ``RUN@STEP``, which is then the parent of
                what is saved. When left out, what this store object restored into the run, else a fresh start.
            replace_newer: move what lies beyond that step to the trash.

        Returns:
            What was moved.

        Raises:
            StoreError, DiskFullError: nothing can be saved there.
            LockedError: another process is training this run.
            ConflictError: checkpoints that verify are in the way; none is touched.
            ProtectedError: one that would be moved is pinned.
        """
        if isinstance(after, str):
            require_open("the parent", [after])
            origin = Ref.parse(after)
            if origin.step is None:
                raise UsageError(f"after {after!r} names no step", hint="write RUN@STEP")
            self._resumed[run] = (origin.run, origin.step)
            after = origin.step
        if after is None:
            after = self._resumed[run][1] if run in self._resumed else preparing.FRESH
        return preparing.prepare(self.storage, run, after=after, replace_newer=replace_newer)

    def hold(self, run: str) -> None:
        """Hold a run for this process until it ends, however it ends, or calls ``release``; again is nothing.

        Taken by ``prepare`` and ``observe``. Plain saves do not ask for it.

        Raises:
            LockedError: another process holds the run; the message says which one.
        """
        self.storage.require_reachable(run)
        require_open_run(self.storage.run_folder(run), run)
        holds.hold(self.storage.state_folder(run), run)

    def release(self, run: str) -> None:
        """Let a run go before this process ends, for one that trains many runs or lives on after a training."""
        holds.release(self.storage.state_folder(run))

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
        """Return an observer of the run, with which it proves itself; see ``Observer``.

        Args:
            run: name of the run.
            steps: how many steps to note after a checkpoint; each costs a digest of all parts.
            prove: ``"first"``: note the steps after the first save of this process, and rehearse that checkpoint in the
                background; M: the same after the first and then each M-th save; ``"never"``: do nothing.
            note_after: ``"every"``: note the steps after the other saves too, without rehearsing those, so that a real
                resume from any of them is held against its notes.
            resume: the command that resumes it, where ``save`` is not given it (as an argument list, or one line).
            seconds: limit of a rehearsal in the background.

        Raises:
            UsageError: an argument makes no sense.
            LockedError: another process is training this run; see ``hold``.
        """
        self.hold(run)
        return Observer(
            self.storage, run, steps=steps, prove=prove, note_after=note_after, resume=resume, seconds=seconds
        )

    def _exists(self, ref: Ref) -> bool:
        if not self.storage.run_folder(ref.run).is_dir():
            return False
        return any(ref.step in (None, at.step) for at in self.storage.scan(ref.run))

    def choose(
        self,
        ref: str,
        *,
        verifier: Verifier | None = None,
        ranking: choosing.Ranking | None = None,
        exact_run: bool = False,
    ) -> choosing.Chosen:
        """Return the checkpoint to go on from, verified; see ``restore`` for what is followed and what it raises."""
        return choosing.choose(self.storage, Ref.parse(ref), verifier or Verifier(), ranking, exact_run=exact_run)

    def copy_out(
        self,
        ref: str,
        destination: Path,
        *,
        ranking: choosing.Ranking | None = None,
        exact_run: bool = False,
        level: Level = "format",
    ) -> choosing.Chosen:
        """Copy a verified checkpoint's files to a new folder, checking every byte; returns which one it was.

        Raises:
            RefusedError: the folder is in the store, around it, or in some other checkpoint.
            CkptkitError: see ``restore``; nothing was written.
        """
        outside.require_destination(self.storage.root, destination)
        chosen = self.choose(ref, verifier=Verifier(level), ranking=ranking, exact_run=exact_run)
        restoring.copy_out(chosen, destination)
        return chosen

    def list(self, run: str | None = None) -> Iterator[listing.Listed]:
        """Yield the checkpoints of a run, or of the whole store, by run and step, without judging their content."""
        return listing.listing(self.storage, run)

    def locate(self, ref: str | None = None) -> Sequence[Location]:
        """Return what a reference covers, unread; ``RUN@latest`` is the highest step. Raises NotFound."""
        if ref is None:
            return tuple(self.storage.scan())
        parsed = Ref.parse(ref)
        found = choosing.found(self.storage, parsed)
        return found[-1:] if parsed.word == "latest" else found

    def verify(
        self, ref: str | None = None, *, level: Level = "format", strict: bool = False, verifier: Verifier | None = None
    ) -> Report:
        """Verify what a reference covers, or the whole store; damage is in the report, never raised.

        With a whole run its pins and tags are verified too.

        Args:
            ref: ``RUN``, ``RUN@STEP`` or None for all.
            level: how far to look.
            strict: fail where loading would import what is not on the allowlist.
            verifier: does it in its own way; ``level`` and ``strict`` are then its own.
        """
        verifier = verifier or Verifier(level, strict=strict)
        places = self.locate(ref)
        whole = ref is None or Ref.parse(ref).whole
        reports = [verifier.verify(at) for at in places]
        return Report.of(verifier.level, reports, damaged(places) if whole else ())

    def plan_prune(
        self,
        policies: RetentionPolicy | Mapping[str, RetentionPolicy],
        *,
        run: str | None = None,
        verifier: Verifier | None = None,
        grace: timedelta = pruning.DEFAULT_GRACE,
    ) -> pruning.Pruning:
        """Verify and plan what a retention policy would remove; nothing is changed."""
        return pruning.survey(self.storage, policies, verifier or Verifier(), run=run, grace=grace)

    def prune(self, planned: pruning.Pruning, *, expected: str | None = None) -> pruning.Pruned:
        """Carry out a plan: checkpoints go to the trash, from which ``undelete`` takes them back."""
        return pruning.apply(self.storage, planned, expected=expected)

    def undelete(self, ref: str) -> Location:
        """Take a removed checkpoint back: that of the step, or the one removed last from the run."""
        parsed = Ref.parse(ref)
        return pruning.undelete(self.storage, parsed.run, parsed.step)

    def pin(self, ref: str, *, pinned: bool = True, ranking: choosing.Ranking | None = None) -> Location:
        """Keep a checkpoint whatever retention says; ``pinned=False`` takes that back."""
        at = self._one(ref, ranking)
        with marks.changed(self.storage.state_folder(at.run)) as changed:
            if pinned:
                changed.pins.add(at.step or 0)
            else:
                changed.pins.discard(at.step or 0)
        return at

    def tag(self, ref: str, tag: str, *, remove: bool = False, ranking: choosing.Ranking | None = None) -> Location:
        """Give a checkpoint a tag (for ``keep_tags``), or take it away."""
        if not remove:
            require_open("a tag", [tag])
        check_tag(tag)
        at = self._one(ref, ranking)
        with marks.changed(self.storage.state_folder(at.run)) as changed:
            tags = changed.tags.setdefault(at.step or 0, set())
            if remove and tag not in tags:
                raise NotFound(f"{at.ref}: has no tag {tag!r}", hint=f"it has {', '.join(sorted(tags)) or 'none'}")
            (tags.discard if remove else tags.add)(tag)
        return at

    def _one(self, ref: str, ranking: choosing.Ranking | None) -> Location:
        parsed = Ref.parse(ref)
        if parsed.step is None and parsed.word is None:
            parsed = replace(parsed, word="latest")
        if parsed.word == "best":
            return self.choose(ref, ranking=ranking).at
        return choosing.found(self.storage, parsed)[-1]
