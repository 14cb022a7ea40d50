"""Stores that each break one promise, as real ones do."""

import io
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from ckptkit.layouts import STEP_FOLDER
from ckptkit.storage import Entry, FileStat, Leftover, Removed, Stamp
from ckptkit.storage.interface import Lock
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
        time.sleep(_PAUSE)
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


class SortsAsText(MemoryStorage):
    def scan(self, run: str | None = None, *, skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from sorted(super().scan(run), key=lambda entry: entry.ref)


class ScansBelow(MemoryStorage):
    """Takes a run's name for a prefix."""

    def scan(self, run: str | None = None, *, skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from (entry for entry in super().scan() if entry.run.startswith((run or "").removeprefix(".")))


class FindsStepsByTheirEnd(MemoryStorage):
    """5 is also what 15 ends in."""

    def at_step(self, run: str, step: int) -> list[Entry]:
        self.has_run(run)
        return [entry for entry in self.scan(run) if entry.name.endswith(str(step))]


class TakesAnyName(MemoryStorage):
    def has_run(self, run: str) -> bool:
        return bool(self.objects.below(self.prefix(run)))


class ReadsAll(MemoryStorage):
    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        return super().read(entry, path, 1 << 40)


class SharesItsStream(MemoryStorage):
    """All readers of a file have one position."""

    def open(self, entry: Entry, path: str) -> BinaryIO:
        streams: dict[str, BinaryIO] = self.__dict__.setdefault("streams", {})
        super().open(entry, path)
        return streams.setdefault(self.key(entry, path), _Open(self._object(entry, path).data))


class _Open(io.BytesIO):
    def close(self) -> None:
        """Stay open."""


class MissingIsDamaged(MemoryStorage):
    def stat(self, entry: Entry, path: str) -> FileStat:
        try:
            return super().stat(entry, path)
        except FileNotFoundError:
            return FileStat(path, 0, False, (0, 0, 0, 0))


class FoldersAreEmptyFiles(MemoryStorage):
    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        return b"" if self.objects.is_folder(self.key(entry, path)) else super().read(entry, path, limit)


class NamesOnlyOurs(MemoryStorage):
    """Leaves out what has an odd name."""

    def names(self, entry: Entry) -> Iterator[str]:
        return (path for path in super().names(entry) if not path.endswith(".txt"))


class FetchesTheLiveFolder(MemoryStorage):
    """Keeps a copy on disk, hands it out to everybody, and reads from it."""

    @contextmanager
    def fetch(self, entry: Entry, paths: Sequence[str]) -> Iterator[Path]:
        with super().fetch(entry, paths) as folder:
            yield folder
            for path in paths:
                if (folder / path).exists():
                    self.objects.put({self.key(entry, path): (folder / path).read_bytes()})


class FetchesFlat(MemoryStorage):
    @contextmanager
    def fetch(self, entry: Entry, paths: Sequence[str]) -> Iterator[Path]:
        with super().fetch(entry, paths) as folder:
            for path in paths:
                if (folder / path).exists():
                    (folder / path).rename(folder / path.replace("/", "_"))
            yield folder


class ConstantIdentity(MemoryStorage):
    """A checkpoint is its name."""

    def identity(self, entry: Entry) -> tuple[str, int] | None:
        return ("here", 1) if super().identity(entry) is not None else None


class IdentityOfTheGone(MemoryStorage):
    def identity(self, entry: Entry) -> tuple[str, int] | None:
        return super().identity(entry) or ("gone", 0)


class StampsSizes(MemoryStorage):
    """A file of the same size is the same file."""

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        found = super().stamps(entry, listed)
        return found and {path: (size, 0, 0, 0) for path, (size, *_) in found.items()}

    def stat(self, entry: Entry, path: str) -> FileStat:
        found = super().stat(entry, path)
        return FileStat(found.path, found.size, found.regular, (found.size, 0, 0, 0))


class StampsWhatWasShown(MemoryStorage):
    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        found = super().stamps(entry, listed)
        shown = self.objects.get(self.key(entry, entry.shown_file))
        return found if shown is None or found is None else found | {entry.shown_file: (0, 0, 0, 0)}


class LosesAFile(MemoryStorage):
    """Brings back all but one."""

    def bring_back(self, removed: Removed) -> None:
        super().bring_back(removed)
        self.objects.drop(f"{self.prefix(removed.run)}step-00000005/rng/empty")


class BringsBackOver(MemoryStorage):
    def bring_back(self, removed: Removed) -> None:
        self.objects.drop(f"{self.prefix(removed.run)}step-00000005/")
        super().bring_back(removed)


class DeletesAtOnce(MemoryStorage):
    """Has no trash."""

    def removed(self, run: str) -> list[Removed]:
        return []


class OldestFirst(MemoryStorage):
    def removed(self, run: str) -> list[Removed]:
        return super().removed(run)[::-1]


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
    def purge(self, leftover: Leftover) -> None:
        pass


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


class AlwaysRoom(MemoryStorage):
    def require_space(self, run: str, needed: int) -> None:
        pass


class PreparesVisibly(MemoryStorage):
    def prepare(self, run: str, *, needed: int) -> None:
        super().prepare(run, needed=needed)
        self.objects.put({f"{self.prefix(run)}step-00000000/probe": b""})


class AllStoresAreOne(MemoryStorage):
    @property
    def same_store(self) -> str:
        return "memory"


class FollowsIntoCheckpoints(MemoryStorage):
    def require_reachable(self, run: str) -> None:
        pass


class FolderOfRunsOnly(MemoryStorage):
    def run_folder(self, run: str) -> Path:
        self.has_run(run)
        return Path("/", run)


class WhereInManyLines(MemoryStorage):
    def where(self, entry: Entry, path: str | None = None) -> str:
        return super().where(entry, path) + "\n"


class OwnedByNobodyElse(MemoryStorage):
    """Says that what this user wrote is another's."""

    def owner(self, entry: Entry) -> int | None:
        return None if super().owner(entry) is None else -1


class HidesWhatHasNoManifest(MemoryStorage):
    def scan(self, run: str | None = None, *, skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if self.owner(entry) is not None)


class OnlyNamesOfRuns(MemoryStorage):
    """Leaves out strangers' folders."""

    def scan(self, run: str | None = None, *, skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if " " not in entry.run)


class ConstantRunStamp(MemoryStorage):
    def run_stamp(self, run: str) -> str:
        return "always the same"
