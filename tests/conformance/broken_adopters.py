"""Stores that each break one promise about what trainers wrote."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ckptkit.layouts import ADOPTED
from ckptkit.storage import Entry, Removed, Stamp
from ckptkit.testing import MemoryStorage


class LooksIntoTrainersFolders(MemoryStorage):
    """Takes a trainer's manifest for that of flat files."""

    def _walk(self, run: str, depth: int) -> Iterator[Entry]:
        yield from (one for one in super()._walk(run, depth) if one.layout is not ADOPTED)


class MovesWhatNobodyLists(MemoryStorage):
    """Moves a trainer's folder with all that is in it."""

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        folders = {path.partition("/")[0] for path in files if "/" in path} if entry.layout is ADOPTED else set()
        inside = [path for folder in folders for path in self.names(entry, folder)]
        return super().remove(entry, [*files, *inside])


class LeavesTheFolder(MemoryStorage):
    """Removes what lies right beside the manifest."""

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        return super().remove(entry, [path for path in files if "/" not in path])


class BringsBackInto(MemoryStorage):
    """Puts what comes back beside what is there now."""

    def bring_back(self, removed: Removed) -> None:
        source = f"{self.prefix(removed.run)}.ckptkit/trash/{removed.key}/"
        self.objects.move(self.objects.below(source), source, self.prefix(removed.run))


class StampsWhatIsListed(MemoryStorage):
    """Does not see what is added to a trainer's folder."""

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        paths = [*listed]
        found = super().stamps(entry, paths)
        own = {*paths, entry.manifest_file, entry.observed_file}
        return found if found is None or not entry.layout.shared else {k: v for k, v in found.items() if k in own}


class ListsOrphans(MemoryStorage):
    """Forgets that trainers remove what they wrote."""

    def orphans(self, run: str) -> list[Entry]:
        return []


class ForgetsTheFiles(MemoryStorage):
    """Takes what a trainer wrote away with its manifest."""

    def forget(self, entry: Entry) -> None:
        super().forget(entry)
        self.objects.drop(self.key(entry, entry.name.partition("@")[0]))


class MovesWhateverIsListed(MemoryStorage):
    """Believes a trainer's manifest."""

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        there = [key for path in files if self.objects.get(key := self.prefix(entry.run) + path) is not None]
        self.objects.move(there, self.prefix(entry.run), f"{self.prefix(entry.run)}.ckptkit/away/")
        return super().remove(entry, files)


class AdoptsFromAnywhere(MemoryStorage):
    """Has folders where it has none."""

    def adopted_from(self, run: str) -> Path:
        return Path("/")
