"""StoreKeeper: removes checkpoints by retention and takes them back, pins and tags; saves and restores nothing."""

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from ckptkit.progress import Meter, Progress
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import Entry
from ckptkit.store import in_flight, pins_and_tags, pruning, surveying
from ckptkit.store.happened import Doing
from ckptkit.store.reader import StoreReader
from ckptkit.store.reference import Ref
from ckptkit.verification import Level, Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from ckptkit.signing.keys import SigningKey
    from ckptkit.store import choosing


class StoreKeeper(StoreReader):
    """Keeps order among the checkpoints of a store; ``CheckpointStore`` is one that saves and restores them too.

    Whatever changes the store, or resumes from it, first waits for its save that goes on behind, and raises what that
    failed with.
    """

    def plan_prune(
        self,
        policies: RetentionPolicy | Mapping[str, RetentionPolicy],
        *,
        run: str | Collection[str] | None = None,
        verifier: Verifier | None = None,
        grace: timedelta = pruning.DEFAULT_GRACE,
        level: Level = "format",
        on_progress: Callable[[Progress], None] | None = None,
        jobs: int | None = None,
    ) -> pruning.PruneSurvey:
        """Verify and plan what a retention policy would remove; nothing is changed.

        What the ledger knows to verify, and is unchanged since, is not read again.

        Args:
            policies: one for all runs, or by run.
            run: only this run is pruned; or only these, of which copies in another run's folder are not.
            verifier: decides which checkpoints may fill a slot.
            grace: how old leftovers must be to be purged.
            level: how far to look, where no verifier is given.
            on_progress: told how far it is then, in bytes digested, of all that are not known already.
            jobs: how many threads read and digest, where no verifier is given; all cores when left out.
        """
        in_flight.settle(self.storage.url)
        meter = Meter("prune", run if isinstance(run, str) else "", on_progress=on_progress)
        how = verifier or Verifier(level, ledger=self.ledger, on_bytes=meter, jobs=jobs)
        if meter.watched and verifier is None:
            wanted = None if run is None else {run} if isinstance(run, str) else set(run)
            places = (at for at in self.storage.scan() if at.step is not None and (wanted is None or at.run in wanted))
            meter.expect(surveying.to_read(places, how))
        return pruning.survey(self.storage, policies, how, run=run, grace=grace)

    def prune(
        self,
        planned: pruning.PruneSurvey,
        *,
        expected: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        jobs: int | None = None,
    ) -> pruning.Pruned:
        """Carry out a plan: checkpoints go to the trash, from which ``undelete`` takes them back.

        Args:
            planned: from ``plan_prune``.
            expected: digest of the plan that a person has reviewed.
            on_progress: told how far it is, in bytes freed of what is purged; how many there will be is not known.
            jobs: how many threads free them; all cores when left out.
        """
        in_flight.settle(self.storage.url)
        doing, meter = Doing(self.storage), Meter("purge", on_progress=on_progress)
        told = meter if meter.watched else None
        done = pruning.apply(self.storage, planned, expected=expected, on_bytes=told, jobs=jobs)
        self._listeners.tell(lambda: doing.pruned(planned, done))
        return done

    def undelete(self, ref: str | Ref) -> Entry:
        """Take back a removed checkpoint: that of the step, or the one last removed from the run.

        Args:
            ref: ``RUN@STEP`` or ``RUN``; or a path in this store: where it was, or where it is in the trash.
        """
        in_flight.settle(self.storage.url)
        doing = Doing(self.storage)
        at = pruning.undelete(self.storage, self._ref(ref, removed=True))
        self._listeners.tell(lambda: doing.undeleted(at))
        return at

    def pin(self, ref: str | Ref | Entry, *, pinned: bool = True, ranking: "choosing.Ranking | None" = None) -> Entry:
        """Keep a checkpoint whatever retention says; ``pinned=False`` takes that back."""
        in_flight.settle(self.storage.url)
        doing = Doing(self.storage)
        at = pins_and_tags.pin(self.storage, self._one(ref, ranking), pinned=pinned)
        self._listeners.tell(lambda: doing.pinned(at, pinned))
        return at

    def sign(
        self, ref: str | Ref | Entry, key: "SigningKey | Path | str", *, ranking: "choosing.Ranking | None" = None
    ) -> Entry:
        """Sign a checkpoint that verifies, beside its manifest; see docs/how-to/sign-checkpoints.md.

        Args:
            ref: as of ``manifest``.
            key: a private key, or its file.
            ranking: for ``RUN@best``.

        Raises:
            NotFoundError: there is no such checkpoint, or no such file.
            DamagedError: it does not verify.
            UsageError, RefusedError: the key cannot be used; see ``key_files.load_private``.
            BackendUnavailableError: cryptography is not installed.
        """
        from ckptkit.store import signing

        in_flight.settle(self.storage.url)
        loaded, at = signing.key_of(key), self._one(ref, ranking)
        signing.require_good(at, self.ledger)
        signing.sign(at, loaded)
        return at

    def tag(
        self, ref: str | Ref | Entry, tag: str, *, remove: bool = False, ranking: "choosing.Ranking | None" = None
    ) -> Entry:
        """Give a checkpoint a tag (for ``keep_tags``), or take it away."""
        pins_and_tags.require_tag(tag, new=not remove)
        in_flight.settle(self.storage.url)
        doing = Doing(self.storage)
        at = pins_and_tags.tag(self.storage, self._one(ref, ranking), tag, remove=remove)
        self._listeners.tell(lambda: doing.tagged(at, tag, not remove))
        return at
