"""Copy checkpoints from one store to another: run by run, the oldest first; each is there as a whole, or not at all."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from ckptkit.errors import ConflictError, DamagedError, PartlyDoneError, RefusedError
from ckptkit.progress import Meter
from ckptkit.storage import Entry, Storage
from ckptkit.store import going_along
from ckptkit.store.arriving import Arrival, Arrivals


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of checkpoints that were to be copied.

    Attributes:
        source: URL of the store that they are in.
        destination: URL of the store that they were copied to.
        checkpoints: each of them, in order of runs and steps.
        undone: one line for each thing that should have gone along, and did not.
        dry_run: whether nothing was changed: what says ``copy`` would be copied.
    """

    source: str
    destination: str
    checkpoints: Sequence[Arrival]
    undone: Sequence[str] = ()
    dry_run: bool = False

    @property
    def copied(self) -> Sequence[Arrival]:
        """Those that were copied now."""
        return [one for one in self.checkpoints if one.outcome == "copied"]

    @property
    def exit_code(self) -> int:
        """0 all are there · 1 one does not verify where it is · 3 pins, tags or notes are missing · 6 a conflict."""
        outcomes = {one.outcome for one in self.checkpoints}
        if "conflict" in outcomes:
            return ConflictError.exit_code
        if "damaged" in outcomes:
            return DamagedError.exit_code
        return PartlyDoneError.exit_code if self.undone else 0


def copy(
    source: Storage,
    places: Sequence[Entry],
    arrivals: Arrivals,
    *,
    latest: bool = False,
    dry_run: bool = False,
    meter: Meter,
    each: Callable[[float, Arrival], None],
) -> Transfer:
    """Copy checkpoints; what is there already is verified, and skipped.

    Args:
        source: the store that they are in.
        places: the checkpoints, by run and step.
        arrivals: brings them.
        latest: of each run only the newest that verifies.
        dry_run: only look; then nothing is verified.
        meter: told beforehand how much is read.
        each: told when each that was not there was begun (monotonic seconds), and what became of it.

    Raises:
        StoreError, DiskFullError: the other store cannot be read or written; what was copied until then is there.
    """
    by_run = [list(group) for _, group in groupby(places, key=attrgetter("run"))]
    if meter.watched and not dry_run:
        looked = (arrivals.look(at) for group in by_run for at in (group[-1:] if latest else group))
        meter.expect(sum(map(arrivals.to_read, looked)))

    def act(at: Entry) -> Arrival:
        began = time.monotonic()
        one = arrivals.look(at) if dry_run else arrivals.bring(at)
        if one.outcome != "there" and not dry_run:
            each(began, one)
        return one

    done: list[Arrival] = []
    undone: list[str] = []
    for group in by_run:
        of_run = []
        try:
            for one in _newest(act, group) if latest else map(act, group):
                of_run.append(one)
        finally:  # also what was copied before something failed has its pins
            steps = [one.manifest.step for one in of_run if one.is_there and one.manifest is not None]
            if steps and not dry_run:
                undone += going_along.marks(source, arrivals.storage, group[0].run, steps)
        done += reversed(of_run) if latest else of_run
        undone += [line for one in of_run for line in one.undone]
    return Transfer(source.url, arrivals.storage.url, done, undone, dry_run)


def _newest(act: Callable[[Entry], Arrival], group: Sequence[Entry]) -> Iterator[Arrival]:
    """Yield the newest, and as long as one does not verify the one before it."""
    for at in reversed(group):
        one = act(at)
        yield one
        if one.outcome not in ("damaged", "gone"):
            return


def require_apart(source: Storage, destination: Storage) -> None:
    """Raise RefusedError where a store would be copied into itself, or into a checkpoint."""
    ours, theirs = (f"{storage.url.rstrip('/')}/" for storage in (source, destination))
    if ours.startswith(theirs) or theirs.startswith(ours):
        hint = "name a store that lies apart from it; nothing was written"
        raise RefusedError(f"{destination.url}: is the store {source.url}, holds it, or lies in it", hint=hint)
    if "://" not in destination.url:
        source.require_outside(Path(destination.url))
