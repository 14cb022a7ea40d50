"""StoreReader: looks into a store (list, locate, verify, choose, copy out), and changes no checkpoint."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.catalog import shown
from ckptkit.catalog.ledger import Ledger
from ckptkit.listeners import Listener, Listeners
from ckptkit.progress import Meter, Progress
from ckptkit.storage import Entry, Storage, open_storage
from ckptkit.store import listing, selecting
from ckptkit.store.reference import Ref

if TYPE_CHECKING:
    from ckptkit.health import Finding
    from ckptkit.manifest.models import Manifest, Resume
    from ckptkit.storage import Removed
    from ckptkit.store.adopting import Unlisted
    from ckptkit.store.choosing import Chosen, Ranking
    from ckptkit.store.describing import Description
    from ckptkit.store.differences import Comparison
    from ckptkit.store.finding import Search, Wanted
    from ckptkit.store.rehearsal import Outcome
    from ckptkit.store.resuming import ResumeCommand
    from ckptkit.verification import CheckpointReport, Level, Report, Verifier

# What only some of the methods need they import themselves: a listing takes less time than importing it all.


class StoreReader:
    """Reads checkpoints of many runs below one folder; ``CheckpointStore`` is one that saves them too.

    Args:
        url: a path or ``file://`` URL; or a ``Storage`` that is open already.
        cache: know what was verified before, and keep what is found, in the user's cache folder; see
            docs/explanation/why-content-decides.md.
        listeners: as of ``listen``.

    Example:
        >>> for one in StoreReader("checkpoints").list():
        ...     print(one.at.ref, one.summary)
    """

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
    ) -> listing.Listing:
        """Return the checkpoints of a run, or of the whole store, to be iterated over; their content is not judged.

        Args:
            run: only this run; or only what references cover, as of ``locate``.
            tag: only those with this tag.
            limit: only the last so many.
            sort: ``step`` means by run, then step.
            since: only those that were saved then or later, and those of which nobody knows.

        Raises:
            NotFoundError: a reference to one checkpoint, or a pattern of runs, covers nothing.
        """
        if isinstance(run, str) and selecting.is_name(run):  # a run may be listed before anything was saved in it
            return listing.Listing(self.storage, run, self.ledger, tag, limit, sort, since)
        within = None if run is None else self._covered([run] if isinstance(run, (str, Ref)) else run, whole=True)
        return listing.Listing(self.storage, None, self.ledger, tag, limit, sort, since, within)

    def unlisted(self, run: str | None = None) -> "Sequence[Unlisted]":
        """Return what trainers wrote into a run, or anywhere in the store, that no manifest lists."""
        if next(self.storage.unlisted(run), None) is None:  # names alone were read: the rest asks every backend
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
                covered[self.choose(ref, ranking=ranking).at] = None
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

    def find(self, wanted: "Wanted", ref: str | Ref | None = None) -> "Search":
        """Return a search in what a reference covers, or in the whole store, to be iterated over: it yields ``Hit``."""
        from ckptkit.store import finding

        return finding.Search(wanted, self.locate(ref))

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
                there), ``RUN@STEP`` (only that one) or ``RUN@best``; or a path to one of these in this store.
            verifier: how to verify it; ``Verifier()`` when left out.
            ranking: for ``RUN@best``.
            exact_run: ``RUN`` means the run itself, also where it went on as another one.

        Raises:
            NotFoundError: there is no such run or step.
            NothingResumableError, DamagedError: nothing, or not the one that was named, verifies.
        """
        from ckptkit.store import choosing
        from ckptkit.verification import Verifier

        return choosing.choose(
            self.storage, self._ref(ref), verifier or Verifier(ledger=self.ledger), ranking, exact_run=exact_run
        )

    def verify(
        self,
        ref: str | Ref | Sequence[str | Ref] | None = None,
        *,
        level: "Level | Callable[[str], Level]" = "format",
        strict: bool = False,
        latest: bool = False,
        sample: str | None = None,
        factories: "Mapping[str, Mapping[str, str]] | None" = None,
        on_bytes: Callable[[int], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        trust_unchanged: bool = False,
        verifier: "Verifier | None" = None,
    ) -> "Report":
        """Verify what references cover, or the whole store; damage is in the report, never raised.

        With a whole run its pins and tags are verified too.

        Args:
            ref: as of ``locate``; or several of them, of which none is verified twice.
            level: how far to look; or a function that says it by the run's name.
            strict: fail where loading would import what is not on the allowlist.
            latest: only the newest step of each run.
            sample: only a random share (``5%``), or one of so many parts in turn (``3/7``).
            factories: by item, by role, ``module:function`` of what builds a definition (level ``resume``).
            on_bytes: called with the size of each block digested.
            on_progress: told how far it is, in bytes digested, of all that the manifests list.
            trust_unchanged: do not read again what was verified, and is unchanged since.
            verifier: does it in its own way; ``level``, ``strict`` and ``factories`` are then its own.

        Raises:
            NotFoundError: a reference covers nothing.
            UsageError: ``sample`` is neither a share nor a part.
        """
        from ckptkit.store import verifying

        words: Sequence[str | Ref] = (ref,) if isinstance(ref, (str, Ref)) else ref or ()
        refs = selecting.refs_of(self.storage, words)
        covered = self._covered(refs) if refs else self.locate()
        return verifying.verify(
            verifying.chosen(covered, latest=latest, sample=sample),
            runs={one.run for one in refs if one.whole} if refs else None,
            level=level,
            verifier=verifier,
            strict=strict,
            factories=factories,
            meter=Meter("verify", on_progress=on_progress, on_bytes=on_bytes),
            trust_unchanged=trust_unchanged,
            ledger=self.ledger,
            each=self._verified,
        )

    def _verified(self, began: float, report: "CheckpointReport") -> None:
        from ckptkit.store.happened import Doing

        self._listeners.tell(lambda: Doing(self.storage, began).verified(report))

    def resume_command(
        self,
        ref: "str | Ref | Chosen",
        *,
        template: Sequence[str] | None = None,
        default: "Resume | None" = None,
        by_trainer: "Mapping[str, Resume] | None" = None,
        overrides: Sequence[str] = (),
        again: Sequence[str] = (),
    ) -> "ResumeCommand":
        """Return the command that resumes from the newest checkpoint that verifies; paths in it are absolute.

        Args:
            ref: as of ``choose``, or what it returned.
            template: used instead of the one that was saved, as an argument list.
            default: who says how to resume, where the checkpoint does not; else another checkpoint of its run does.
            by_trainer: commands that resume what a trainer wrote, by the kind of its layout, where nothing else does;
                else the trainer's own command is taken, if it has one for all programs.
            overrides: arguments that are appended, so that they win.
            again: what a job that is started again must pass to `ckptkit resume-cmd` besides the run.

        Raises:
            UsageError: nothing says how to resume it, or a field cannot be filled by this checkpoint.
            CkptkitError: nothing can be resumed from; see ``choose``.
        """
        from ckptkit.store import resuming

        chosen = self.choose(ref) if isinstance(ref, (str, Ref)) else ref
        return resuming.resume_command(
            self.storage,
            chosen,
            template=template,
            default=default,
            by_trainer=by_trainer,
            overrides=overrides,
            again=again,
        )

    def rehearse(
        self,
        ref: "str | Ref | Chosen",
        *,
        steps: int = 8,
        template: Sequence[str] | None = None,
        seconds: float = 600,
    ) -> "Outcome":
        """Run the resume command from a checkpoint, in a scratch copy of the store, and compare what it does.

        It is held against what the run itself noted after the checkpoint; if it noted nothing, the command runs twice,
        and the two are compared with each other. A verdict is kept with the checkpoint: ``rehearsed 8``.

        Args:
            ref: as of ``choose``, or what it returned.
            steps: how far to go.
            template: the command, as an argument list; that of the manifest when left out.
            seconds: limit for each run of the command.

        Raises:
            UsageError: nothing says how to resume it.
            StoreError, DamagedError: the scratch copy cannot be written, or the checkpoint changed under it.
            CkptkitError: nothing can be resumed from; see ``choose``.
        """
        from ckptkit.store import rehearsal

        chosen = self.choose(ref) if isinstance(ref, (str, Ref)) else ref
        return rehearsal.rehearse(self.storage, chosen, steps=steps, template=template, seconds=seconds)

    def copy_out(
        self,
        ref: str | Ref,
        destination: Path,
        *,
        ranking: "Ranking | None" = None,
        exact_run: bool = False,
        level: "Level" = "format",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> "Chosen":
        """Copy a verified checkpoint's files to a new folder, checking every byte; returns which one it was.

        ``on_progress`` is told how far it is, in bytes copied.

        Raises:
            RefusedError: the folder is in the store, contains it, or is in some other checkpoint.
            CkptkitError: see ``choose``; nothing was written.
        """
        from ckptkit.store import restoring
        from ckptkit.store.happened import Doing
        from ckptkit.verification import Verifier

        doing, named = Doing(self.storage), self._ref(ref)
        destination = Path(destination)
        self.storage.require_outside(destination)
        chosen = self.choose(named, verifier=Verifier(level, ledger=self.ledger), ranking=ranking, exact_run=exact_run)
        meter = Meter("restore", chosen.at.ref, on_progress=on_progress)
        restoring.copy_out(chosen, destination, meter)
        self._listeners.tell(lambda: doing.restored(chosen, chosen.manifest.items, "folder", named.run))
        return chosen

    def examine(self) -> "Iterator[Finding]":
        """Yield how the store is: there, writable, with room; what its file system can do; what lies in its runs.

        A save is tried in a scratch folder inside it, of which nothing stays. Whatever is wrong is yielded, not raised.
        """
        from ckptkit.store import examining

        return examining.examine(self.storage)

    def require_outside(self, path: Path) -> None:
        """Raise RefusedError for a path in the store, around it, or in some checkpoint: nothing may be written there.

        For files that a program writes about a store.
        """
        self.storage.require_outside(path)

    def _one(self, ref: str | Ref | Entry, ranking: "Ranking | None" = None) -> Entry:
        return ref if isinstance(ref, Entry) else self._covered([self._ref(ref)], ranking)[-1]

    def _ref(self, ref: str | Ref, *, removed: bool = False) -> Ref:
        if isinstance(ref, Ref):
            return ref
        return selecting.one(selecting.refs_of(self.storage, [ref], removed=removed), ref, "this")
