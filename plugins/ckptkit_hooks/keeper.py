"""What every hook does with the store: save a run's checkpoints, prune them, find the newest one that verifies."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ckptkit.errors import CkptkitError, NotFoundError, NothingResumableError
from ckptkit.retention import RetentionPolicy
from ckptkit.store import CheckpointStore, Chosen, Committed, Restored, SaveHandle, Wrote
from ckptkit_hooks.arguments import Arguments, ranking_of

_LOG = logging.getLogger("ckptkit_hooks")


class Keeper:
    """The checkpoints of one run.

    Args:
        store: the store, or its path.
        run: name of the run.
        retain: which checkpoints are kept; None keeps all. Its metric and mode say which one is ``RUN@best``.
        resume: argument list that resumes from a checkpoint, for ``ckptkit resume-cmd``.
        replace_newer: whether checkpoints beyond the step that training continues from are moved to the trash.
        wait: whether a save returns when the checkpoint is durable, or as soon as the state is copied.

    Attributes:
        waits: the same.
    """

    def __init__(
        self,
        store: CheckpointStore | str | Path,
        run: str,
        *,
        retain: RetentionPolicy | None = None,
        resume: Sequence[str] | None = None,
        replace_newer: bool = False,
        wait: bool = True,
    ) -> None:
        self.store = store if isinstance(store, CheckpointStore) else CheckpointStore(store)
        self.run = run
        self._resume = resume
        self._retain = retain
        self._ranking = ranking_of(retain)
        self._replace_newer = replace_newer
        self.waits = wait
        self._behind: SaveHandle | None = None
        self._parent: str | None = None
        self._safe: int | None = None
        self._warned = False

    @classmethod
    def of(cls, store: CheckpointStore | str | Path, run: str, said: Arguments) -> "Keeper":
        """Return the keeper that the arguments of a hook ask for."""
        return cls(
            store,
            run,
            retain=said.retain,
            resume=said.resume,
            replace_newer=said.replace_newer,
            wait=said.wait,
        )

    def is_safe(self, step: int) -> bool:
        """Return whether the step was saved by this keeper and is durable, or is the one that training resumed from."""
        return step == self._safe

    def prepare(self, step: int) -> None:
        """Make the run ready before the first step; see ``CheckpointStore.prepare``.

        Args:
            step: the one that training continues from; 0 is a fresh start, unless that step was resumed from.

        Raises:
            StoreError: nothing can be saved there.
            LockedError: another process is training this run.
            ConflictError: newer checkpoints are in the way; with ``replace_newer`` they go to the trash.
        """
        after = step if step > 0 or self.is_safe(step) else -1
        for moved in self.store.prepare(self.run, after=after, replace_newer=self._replace_newer):
            _LOG.warning("%s: moved to the trash, training goes on from step %s", moved.ref, step)

    def save(
        self,
        step: int,
        items: Mapping[str, Any],
        *,
        metrics: Mapping[str, float] | None = None,
        counters: Mapping[str, int] | None = None,
        boundary: Mapping[str, Any] | None = None,
        factories: Mapping[str, Any] | None = None,
    ) -> str:
        """Save a checkpoint, then prune; returns its name. A step that is already safe is not saved again.

        Without waiting it returns before either is done: ``wait`` waits for both.

        Raises:
            CkptkitError: it could not be saved, or the one before, which went on behind, was not; see
                ``CheckpointStore.save``. If pruning fails, that is only logged.
        """
        name = f"{self.run}@{step}"
        if self.is_safe(step) or self._is_behind(name):
            return name
        numbers = self._numbers(name, metrics or {})
        going_on = self.store.save(
            self.run,
            step,
            items,
            metrics=numbers,
            counters=counters,
            boundary=boundary,
            resume=self._resume,
            parent=self._parent,
            factories=factories,
            wait=self.waits,
            then=self._saved,
        )
        self._behind = going_on if isinstance(going_on, SaveHandle) else None
        return name

    def wait(self) -> None:
        """Wait until what goes on behind is durable.

        Raises:
            CkptkitError: it failed, and nobody has heard of it yet.
        """
        self.store.wait()

    def _is_behind(self, name: str) -> bool:
        return self._behind is not None and self._behind.ref == name and self._behind.failure is None

    def _saved(self, saved: Committed) -> None:
        name, self._safe = saved.at.ref, saved.manifest.step
        _LOG.info("saved %s", name)
        for line in (line for lines in saved.left.values() for line in lines):
            _LOG.warning("%s: not saved: %s; keep the trainer's own copy", name, line)
        self._prune()

    def adopt(
        self,
        step: int,
        main: str,
        *,
        item: str,
        trainer: str,
        doubts: Sequence[str],
        metrics: Mapping[str, float],
    ) -> str:
        """Give what a trainer wrote into the run's folder a manifest where it lies, then prune; returns its name.

        Without waiting it returns before either is done. If the trainer removes it first, that is only logged.

        Args:
            step: the step.
            main: its folder or file.
            item: what its item is called.
            trainer: kind of the trainer's layout.
            doubts: one line for each piece of state that is not in it.
            metrics: as of ``save``.

        Raises:
            CkptkitError: see ``CheckpointStore.adopt``. If pruning fails, that is only logged.
        """
        name = f"{self.run}@{step}"
        if self.is_safe(step) or self._is_behind(name):
            return name
        going_on = self.store.adopt(
            self.run,
            main,
            step,
            {item: Wrote(main, doubts=doubts)},
            trainer=trainer,
            metrics=self._numbers(name, metrics),
            resume=self._resume,
            parent=self._parent,
            wait=self.waits,
            then=self._adopted,
        )
        self._behind = going_on if isinstance(going_on, SaveHandle) else None
        return name

    def _adopted(self, adopted: Committed) -> None:
        self._safe = adopted.manifest.step
        _LOG.info("adopted %s", adopted.at.ref)
        self._prune()

    def _numbers(self, name: str, metrics: Mapping[str, float]) -> dict[str, float]:
        numbers = {key: float(value) for key, value in metrics.items()}
        if self._ranking.metric is not None and self._ranking.metric not in numbers and not self._warned:
            self._warned = True
            known = ", ".join(sorted(numbers)) or "none at all"
            _LOG.warning("%s: has no metric %r, so it cannot be the best; it has %s", name, self._ranking.metric, known)
        return numbers

    def _prune(self) -> None:
        if self._retain is None or self._retain.keep_last == "all":
            return
        try:
            pruned = self.store.prune(self.store.plan_prune(self._retain, run=self.run))
        except CkptkitError as error:  # it is saved: old ones that stay are no reason to end the training
            _LOG.warning("%s: old checkpoints stay: %s", self.run, error)
            return
        for failure in pruned.failures:
            _LOG.warning("%s: %s", self.run, failure)

    def newest(self, ref: str | None = None) -> Chosen | None:
        """Return the newest checkpoint that verifies, or None if the run has none at all: a fresh start.

        A run that was resumed as another one is followed there. This, and why newer ones were skipped, is logged as
        warnings.

        Args:
            ref: another one to resume from: ``RUN@STEP`` or ``RUN@best``; it must exist.

        Raises:
            NothingResumableError: the run has checkpoints, but none that verifies.
            NotFoundError, DamagedError: the one that was named does not exist, or does not verify.
        """
        if ref is None and not self.store.storage.has_run(self.run):
            self._fresh()
            return None
        try:
            chosen = self.store.choose(ref or self.run, ranking=self._ranking)
        except NothingResumableError:
            raise
        except NotFoundError:
            if ref is not None:
                raise
            self._fresh()
            return None
        for line in chosen.followed:
            _LOG.warning("%s", line)
        for report in chosen.skipped:
            _LOG.warning("skipped %s: %s", report.at.ref, report.reason)
        self._resumed(chosen.at.run, chosen.manifest.step)
        return chosen

    def _fresh(self) -> None:
        _LOG.warning("%s: no checkpoint in %s, a fresh start", self.run, self.store.storage.url)

    def restore(
        self, into: Mapping[str, Any], ref: str | None = None, *, factories: Mapping[str, Any] | None = None
    ) -> Restored | None:
        """Put the newest checkpoint that verifies into live objects; returns None and raises as ``newest`` does.

        Raises:
            BackendError: the state does not fit; nothing was changed.
        """
        chosen = self.newest(ref)
        if chosen is None:
            return None
        restored = self.store.restore(chosen, into, factories=factories)
        for warning in restored.warnings:
            _LOG.warning("%s: %s", chosen.at.ref, warning)
        return restored

    def _resumed(self, run: str, step: int) -> None:
        self._parent = f"{run}@{step}"
        self._safe = step if run == self.run else None
        _LOG.info("resuming from %s", self._parent)
