"""Stores that each break one promise about what is written, removed or locked, as real ones do."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from ckptkit.errors import LockedError, StoreError
from ckptkit.layouts import STEP_FOLDER
from ckptkit.storage import Entry, Leftover, Removed
from ckptkit.storage.interface import Lock
from ckptkit.storage.run_locks import RunLocks
from ckptkit.testing import MemoryStorage
from ckptkit.testing.memory_staging import MemoryStaging

_PAUSE = 0.001


class Overwrites(MemoryStorage):
    """Looks whether the name is free, and writes a moment later."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        if replaces is not None:
            return super()._commit(run, name, files, replaces)
        entry = Entry(run, name, STEP_FOLDER, self)
        if self.objects.has(self.key(entry).rstrip("/")):
            return super()._commit(run, name, files, replaces)
        time.sleep(20 * _PAUSE)
        self.objects.put({self.key(entry, path): data for path, data in files.items()})
        return entry


class NeverLooks(MemoryStorage):
    """Commits over what is there."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        self.objects.drop(self.key(Entry(run, name, STEP_FOLDER, self)))
        return super()._commit(run, name, files, None)


class OneByOne(MemoryStorage):
    """The manifest first, and then one file after the other."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        last = dict(reversed(files.items()))
        first = last.pop("manifest.json")
        entry = super()._commit(run, name, {"manifest.json": first}, replaces)
        for path, data in last.items():
            time.sleep(_PAUSE)
            self.objects.put({self.key(entry, path): data})
        return entry


class RemovesFirst(MemoryStorage):
    """Removes what is to be replaced, and then looks for the new one."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        if replaces is not None:
            self.remove(replaces)
            time.sleep(10 * _PAUSE)
        return super()._commit(run, name, files, None)


class ForgetsTheReplaced(MemoryStorage):
    """What was replaced is not in the trash."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        entry = super()._commit(run, name, files, replaces)
        if replaces is not None:
            for leftover in self._trash(run).leftovers(-1):
                self.purge(leftover)
        return entry


class ListsWhatIsStaged(MemoryStorage):
    @contextmanager
    def stage(self, run: str) -> Iterator[MemoryStaging]:
        with super().stage(run) as staging:
            self.objects.put({f"{self.prefix(run)}step-00000005/half.bin": b""})
            yield staging


class KeepsItsStaging(MemoryStorage):
    """One folder for all saves, which is never removed."""

    @contextmanager
    def stage(self, run: str) -> Iterator[MemoryStaging]:
        with super().stage(run) as staging:
            staging.folder = Path(self._copies)
            yield staging


class PutsInTwoSteps(MemoryStorage):
    """An empty file first, and then its content."""

    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        super().put(entry, path, data[: len(data) // 2], replace=replace)
        time.sleep(_PAUSE)
        super().put(entry, path, data, replace=True)


class PutsOver(MemoryStorage):
    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        super().put(entry, path, data, replace=True)


class StatesInTwoSteps(MemoryStorage):
    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        super().replace_state(run, name, data[:1])
        time.sleep(_PAUSE)
        super().replace_state(run, name, data)


class LosesAFile(MemoryStorage):
    """Brings back all but one."""

    def bring_back(self, removed: Removed) -> None:
        super().bring_back(removed)
        self.objects.drop(f"{self.prefix(removed.run)}step-00000005/rng/empty")


class BringsBackOver(MemoryStorage):
    def bring_back(self, removed: Removed) -> None:
        self.objects.drop(f"{self.prefix(removed.run)}step-00000005/")
        self.objects.drop(f"{self.prefix(removed.run)}ep000050")
        super().bring_back(removed)


class DeletesAtOnce(MemoryStorage):
    """Has no trash."""

    def removed(self, run: str | None = None) -> list[Removed]:
        return []


class CountsManifests(MemoryStorage):
    def removed(self, run: str | None = None) -> list[Removed]:
        return [replace(one, size=(one.size or 0) + 500) for one in super().removed(run)]


class OldestFirst(MemoryStorage):
    def removed(self, run: str | None = None) -> list[Removed]:
        return super().removed(run)[::-1]


class ForgetsRunsThatAreEmpty(MemoryStorage):
    """Looks for trash where there are checkpoints."""

    def removed(self, run: str | None = None) -> list[Removed]:
        runs = {entry.run for entry in self.scan()} if run is None else {run}
        return [one for name in sorted(runs) for one in super(ForgetsRunsThatAreEmpty, self).removed(name)]


class MovesWhatIsOthers(MemoryStorage):
    """Believes a sidecar's manifest."""

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        removed = super().remove(entry, files)
        for path in files:
            self.objects.drop(self.key(entry, path))
        return removed


class PurgesAtOnce(MemoryStorage):
    """Has no grace."""

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        return super().leftovers(run, -1)


class PurgesNothing(MemoryStorage):
    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        pass


class RemovesLater(MemoryStorage):
    """Lists what is removed with others until it is made to last."""

    def removed(self, run: str | None = None) -> list[Removed]:
        return super().removed(run) if self.lasts else []

    lasts = True

    def remove(self, entry: Entry, files: Sequence[str] = (), *, lasting: bool = True) -> Removed:
        self.lasts = lasting
        return super().remove(entry, files)

    def make_last(self, removed: Sequence[Removed]) -> None:
        self.lasts = True


class SetsNothingAside(MemoryStorage):
    """Lets what is being purged come back."""

    def set_aside(self, leftover: Leftover) -> Leftover:
        return leftover


class FinishesTooMuch(MemoryStorage):
    """Takes whatever a removed checkpoint listed."""

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        self.objects.drop(f"{self.prefix(run)}ep000050.bin")


class OneStateForAll(MemoryStorage):
    """Runs inside runs share theirs."""

    def _state(self, run: str, name: str) -> str:
        return super()._state(run.partition("/")[0], name)


class NoLocks(MemoryStorage):
    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        return nullcontext()


class OneLock(MemoryStorage):
    """Saves wait for each other."""

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        return super().locked(run, "change")


class LocksForGood(MemoryStorage):
    """Forgets to let go when a block fails."""

    @contextmanager
    def locked(self, run: str, lock: Lock) -> Iterator[None]:
        held: dict[str, threading.Lock] = self.__dict__.setdefault("held", {})
        mine = held.setdefault(run, threading.Lock())
        assert mine.acquire(timeout=1), "locked for good"
        yield
        mine.release()


class LocksOfThreads(MemoryStorage):
    """Only who took a lock can let it go."""

    @contextmanager
    def locked(self, run: str, lock: Lock) -> Iterator[None]:
        with threading.RLock(), super().locked(run, lock):
            yield


class AlwaysRoom(MemoryStorage):
    def require_space(self, run: str, needed: int) -> None:
        pass


class PreparesVisibly(MemoryStorage):
    def prepare(self, run: str, *, needed: int) -> None:
        super().prepare(run, needed=needed)
        self.objects.put({f"{self.prefix(run)}step-00000000/probe": b""})


class LosesOddNames(MemoryStorage):
    """Keeps what has a plain name."""

    def _commit(self, run: str, name: str, files: Mapping[str, bytes], replaces: Entry | None) -> Entry:
        return super()._commit(run, name, {p: d for p, d in files.items() if p.isascii()}, replaces)


class PutsOnce(MemoryStorage):
    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        super().put(entry, path, data, replace=False)


class HoldsOnce(MemoryStorage):
    def hold(self, run: str) -> None:
        held: set[str] = self.__dict__.setdefault("held", set())
        if run in held:
            raise LockedError(f"{run}: is held")
        held.add(run)


class StatesAreNeverNone(MemoryStorage):
    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        return super().read_state(run, name, limit) or b""


class RemovesWholeOnesOnly(MemoryStorage):
    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        if self.owner(entry) is None:
            raise StoreError(f"{entry.ref}: has no manifest")
        return super().remove(entry, files)


class RefusesWhileChanged(MemoryStorage):
    """Does not let a save begin while somebody prunes."""

    changing = False

    @contextmanager
    def locked(self, run: str, lock: Lock) -> Iterator[None]:
        with super().locked(run, lock):
            self.changing = lock == "change"
            yield

    @contextmanager
    def stage(self, run: str) -> Iterator[MemoryStaging]:
        if self.changing:
            raise LockedError(f"{run}: is being pruned")
        with super().stage(run) as staging:
            yield staging


class LeavesFlatFiles(MemoryStorage):
    """Removes the manifest alone."""

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        return super().remove(entry)


class OneRun(MemoryStorage):
    """One lock for the whole store."""

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        return super().locked(".", lock)


class _Impolite(RunLocks):
    @contextmanager
    def save(self) -> Iterator[None]:
        with self._state:
            self._saves += 1
        try:
            yield
        finally:
            with self._state:
                self._saves -= 1
                self._state.notify_all()


class SavesComeFirst(MemoryStorage):
    """Every save joins those that a change waits for."""

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        self._locks.setdefault(run, _Impolite(run))
        return super().locked(run, lock)
