"""Stores that each break one promise about what is found, read or told, as real ones do."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ckptkit.errors import StoreError
from ckptkit.layouts import STEP_FOLDER
from ckptkit.storage import Entry, FileStat, Stamp
from ckptkit.testing import MemoryStorage

_PAUSE = 0.001


class SortsAsText(MemoryStorage):
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from sorted(super().scan(run), key=lambda entry: entry.ref)


class NewestLast(MemoryStorage):
    def newest_first(self, run: str | None = None) -> Iterator[tuple[str, Iterator[Entry]]]:
        for of in dict.fromkeys(entry.run for entry in self.scan(run)):
            yield of, self.scan(of)


class ScansBelow(MemoryStorage):
    """Takes a run's name for a prefix."""

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from (entry for entry in super().scan() if entry.run.startswith((run or "").removeprefix(".")))


class ScansAll(MemoryStorage):
    """Reads the whole store, wherever one looks."""

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from super().scan(run)


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
    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> Iterator[Path]:
        with super().fetch(entry, paths) as folder:
            yield folder
            for path in paths:
                if (folder / path).exists():
                    self.objects.put({self.key(entry, path): (folder / path).read_bytes()})


class FetchesFlat(MemoryStorage):
    @contextmanager
    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> Iterator[Path]:
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
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if self.owner(entry) is not None)


class OnlyNamesOfRuns(MemoryStorage):
    """Leaves out strangers' folders."""

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if " " not in entry.run)


class ConstantRunStamp(MemoryStorage):
    def run_stamp(self, run: str) -> str:
        return "always the same"


class BelievesManifests(MemoryStorage):
    """Asks a manifest which run it is of."""

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        for entry in super().scan(run):
            said = json.loads(self.read(entry, entry.manifest_file, 1 << 20))["run"]
            yield Entry(said, entry.name, entry.layout, self)


class StatsNothing(MemoryStorage):
    def stat(self, entry: Entry, path: str) -> FileStat:
        found = super().stat(entry, path)
        return FileStat(path, 0, found.regular, found.stamp)


class FoldersOnly(MemoryStorage):
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if not entry.layout.shared)


class ClaimsToOutlive(MemoryStorage):
    """Nobody else can open it."""

    outlives = True


class ScansTwoFolders(MemoryStorage):
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        return (entry for entry in super().scan(run) if entry.run.count("/") < 2)


class RaisesForWhatIsNotThere(MemoryStorage):
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        if run is not None and not self.has_run(run):
            raise StoreError(f"{run}: is not there")
        return super().scan(run)


class IdentityOfAll(MemoryStorage):
    """Whatever is written anywhere changes it."""

    def identity(self, entry: Entry) -> tuple[str, int] | None:
        return None if super().identity(entry) is None else ("store", self.objects.size)


class ListsItsTrash(MemoryStorage):
    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        yield from super().scan(run)
        for removed in self.removed(run or "ppo/run1"):
            yield Entry(removed.run, f"step-{removed.step:08d}", STEP_FOLDER, self)


class StampsTheSharedFolder(MemoryStorage):
    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        beside = [path for path in self.objects.listing(self.key(entry)).files if path != entry.shown_file]
        return super().stamps(entry, beside if entry.layout.shared else listed)
