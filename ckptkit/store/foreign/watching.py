"""Take in checkpoints as a trainer writes them, never one that is still being written; and prune what it leaves."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ckptkit.errors import CkptkitError, NotFoundError
from ckptkit.retention import RetentionPolicy
from ckptkit.storage import Entry
from ckptkit.store.foreign import looking, watched
from ckptkit.store.foreign.outcome import Outcome
from ckptkit.store.foreign.taking_in import TakingIn
from ckptkit.trainers.finding import Sighting

Kind = Literal["adopted", "replaced", "removed", "gone", "left", "refused", "failed", "waiting"]
_PAUSE = 0.3  # seconds between the two last looks


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: ``removed``: by retention, into the trash; ``gone``: the trainer removed it; ``failed``: something could
            not be done, and is tried again.
        text: in words.
        ref: ``RUN@STEP``, where it is about one.
        path: of the checkpoint, where it is about one.
    """

    kind: Kind
    text: str
    ref: str | None = None
    path: Path | None = None


@dataclass(slots=True)
class Watch:
    """Looks again and again at a folder that a trainer writes into.

    Attributes:
        taking: how checkpoints are taken in.
        path: what is watched.
        policy_of: the retention policy of a run, or None: nothing of it is removed.
    """

    taking: TakingIn
    path: Path
    policy_of: Callable[[str], RetentionPolicy | None] = lambda run: None
    _seen: dict[Path, watched.Stamps] = field(default_factory=dict)
    _done: dict[Path, watched.Stamps] = field(default_factory=dict)
    _told: set[tuple[Path | None, str]] = field(default_factory=set)
    _runs: set[str] = field(default_factory=set)
    _to_prune: set[str] = field(default_factory=set)

    def look(self) -> Iterator[Event]:
        """Yield what happened since the last look; what fails is told once, and tried again at the next one."""
        try:
            sought = looking.look(self.path)
        except NotFoundError as error:
            yield from self._once(Event("waiting", f"waiting: {error.message}"))
            return
        ready, stamps = [], {}
        for one in sought.sightings:
            stamps[one.path] = now = watched.stamps(one)
            if self._done.get(one.path) != now and (self._seen.get(one.path) == now or _marked(one)):
                ready.append(one)
        self._seen = stamps
        self._runs.update(self.taking.runs_of(folder for folder, _ in sought.looked.stale))
        for outcome in self.taking.take(ready):
            yield from self._of(outcome, stamps[outcome.path])
        for run in sorted(self._runs):
            yield from self._gone(run)
        for run in sorted(self._to_prune):
            yield from self._pruned(run)

    def last_look(self) -> Iterator[Event]:
        """Yield the same once more, after a pause in which nothing that is taken in may have changed."""
        yield from self.look()
        time.sleep(_PAUSE)
        yield from self.look()

    def _of(self, outcome: Outcome, stamps: watched.Stamps) -> Iterator[Event]:
        if outcome.run is not None and outcome.listed:
            self._runs.add(outcome.run)
        why = "; ".join([*outcome.reasons, *([outcome.error.message] if outcome.error else [])])
        name = outcome.path.name
        retried = outcome.error is not None and outcome.error.exit_code in (10, 11, 75)
        if not retried:
            self._done[outcome.path] = stamps
        for line in outcome.cleared:
            yield Event("gone", line)
        if outcome.action in ("adopted", "replaced"):
            assert outcome.run is not None  # else it could not be adopted
            self._to_prune.add(outcome.run)
            word = "adopted" if outcome.action == "adopted" else "adopted anew"
            kind: Kind = "adopted" if outcome.action == "adopted" else "replaced"
            yield Event(kind, f"{word} {outcome.ref}: {name} ({outcome.judgement.title})", outcome.ref, outcome.path)
        elif outcome.action == "kept" and outcome.run is not None:
            self._to_prune.add(outcome.run)
        elif outcome.action == "refused":
            kind = "failed" if retried else "refused"
            yield from self._once(Event(kind, f"not adopted: {name}: {why}", outcome.ref, outcome.path))
        elif outcome.action == "left":
            yield from self._once(Event("left", f"{outcome.state}: {name}: {why}", outcome.ref, outcome.path))

    def _once(self, event: Event) -> Iterator[Event]:
        key = event.path, event.text
        if key not in self._told:
            self._told.add(key)
            yield event

    def _gone(self, run: str) -> Iterator[Event]:
        try:
            for line in self.taking.clear([run]):
                yield Event("gone", line)
        except CkptkitError as error:
            yield from self._once(Event("failed", f"{run}: {error.message}"))

    def _pruned(self, run: str) -> Iterator[Event]:
        policy = self.policy_of(run)
        if policy is None:
            self._to_prune.discard(run)
            return
        try:
            store = self.taking.store
            done = store.prune(store.plan_prune({run: policy}, run=run))
        except CkptkitError as error:
            yield from self._once(Event("failed", f"{run}: not pruned: {error.message}"))
            return
        self._to_prune.discard(run)
        for at in done.removed:
            self._forget(at)
            yield Event("removed", f"removed {at.ref}: {at.name}, into the trash", at.ref)
        for failure in done.failures:
            yield from self._once(Event("failed", f"{run}: not removed: {failure}"))

    def _forget(self, at: Entry) -> None:
        with contextlib.suppress(CkptkitError):
            gone = at.folder / at.name.rpartition("@")[0]
            self._done.pop(gone, None)


def _marked(one: Sighting) -> bool:
    """Return whether the file that the trainer writes last is there."""
    found = one.seen.found
    return found.marker is not None and one.seen.listing.has(found.marker)
