"""The files of a checkpoint, read, streamed, examined and listed, wherever their objects lie."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ckptkit.errors import DamagedError, StoreError
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import main_of, parted
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.interface import Entry, FileStat, Stamp
from ckptkit.storage.objects import member
from ckptkit.storage.objects.keys import Home, prefix_of
from ckptkit.storage.objects.places import Places
from ckptkit.storage.objects.service import Info, Objects


def stamp(info: Info) -> Stamp:
    """Return the stamp of an object. Listings know fractions of the second in which it was written, look-ups do not."""
    version = hashlib.blake2b(info.version.encode(), digest_size=7).digest()
    return info.size, int(info.modified.timestamp()) * 1_000_000_000, int.from_bytes(version), 0


class Files:
    """Reads the files of entries.

    Args:
        objects: the service.
        places: knows where they are.
    """

    def __init__(self, objects: Objects, places: Places) -> None:
        self._objects, self._places = objects, places

    def key(self, entry: Entry, path: str) -> str:
        """Return the key of a file."""
        if not entry.layout.shared and path == entry.manifest_file:
            return Home.beside(entry.run, entry.name, entry.layout).manifest  # it is never anywhere else
        return self._places.home(entry).key(path, entry.layout, entry.name)

    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        """See ``Storage.read``."""
        key = self.key(entry, path)
        if path == entry.manifest_file:
            return self._manifest(entry, key, limit)
        try:
            return self._objects.read(key, 0, limit + 1)[0]
        except FileNotFoundError:
            return self._objects.read(self._found(entry, path, key), 0, limit + 1)[0]
        except StoreError:
            self._require_no_folder(path, key)  # where there are folders, one cannot be read
            raise

    def _manifest(self, entry: Entry, key: str, limit: int) -> bytes:
        try:
            data, info = self._objects.read(key, 0, limit + 1 + member.LONGEST)
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        if not entry.layout.shared:
            self._places.learn(entry.name, data, info)
        return member.parted(data)[0][: limit + 1]

    def open(self, entry: Entry, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        key = self.key(entry, path)
        if path == entry.manifest_file:
            return io.BytesIO(self._manifest(entry, key, MAX_BYTES))
        try:
            return self._objects.open(key)
        except FileNotFoundError:
            return self._objects.open(self._found(entry, path, key))
        except StoreError:
            self._require_no_folder(path, key)
            raise

    def _found(self, entry: Entry, path: str, missing: str) -> str:
        """Return the key of a file that was not where it was remembered to be; raises as ``Storage.read``."""
        if path in entry.notes:  # most have none: they are asked for often
            raise FileNotFoundError(missing)
        key = self._places.home_now(entry)[0].key(path, entry.layout, entry.name)
        if key == missing:
            self._require_no_folder(path, key)
            raise FileNotFoundError(key)
        return key

    def _require_no_folder(self, path: str, key: str) -> None:
        """Raise DamagedError where a path that holds nothing has something below it, or a file above it."""
        around = key.removesuffix(path)
        parts = path.split("/")
        above = [around + "/".join(parts[:depth]) for depth in range(1, len(parts))]
        if any(self._objects.below(f"{key}/")) or any(self._objects.look(one) for one in above):
            raise DamagedError(f"{key}: is not a regular file")

    def stat(self, entry: Entry, path: str) -> FileStat:
        """See ``Storage.stat``."""
        key = self.key(entry, path)
        info = self._objects.look(key)
        if info is None and path != entry.manifest_file:
            now = self._places.home_now(entry)[0].key(path, entry.layout, entry.name)
            info = None if now == key else self._objects.look(now)
            if info is None:
                self._require_no_folder(path, now)
        if info is None:
            raise FileNotFoundError(key)
        return FileStat(path, info.size - self._added(entry, path, info), True, stamp(info))

    def _added(self, entry: Entry, path: str, info: Info) -> int:
        """Return how many bytes of an object are no bytes of the file."""
        if entry.layout.shared or path != entry.manifest_file:
            return 0
        self._places.confirm(info.key, info)
        place = self._places.home(entry).place
        return 0 if place is None else len(member.with_place(b"{", place)) - 1

    def names(self, entry: Entry, within: str = "") -> Iterator[str]:
        """See ``Storage.names``."""
        home, manifest = self._places.home_now(entry)
        prefix = f"{home.files}{within}/" if within else home.files
        for info in self._objects.below(prefix):
            if not entry.layout.shared or within or not info.key.startswith(f"{prefix}{STATE_FOLDER}/"):
                yield info.key.removeprefix(home.files)
        if home.place is not None and not within:
            yield from [entry.manifest_file] if manifest is not None else []
            for path, key in ((entry.shown_file, home.shown), (entry.signatures_file, home.signatures)):
                yield from [path] if self._objects.look(key) is not None else []

    def walk(self, run: str, *, deep: bool) -> Iterator[FileStat]:
        """See ``SupportsWalk.walk``."""
        prefix = prefix_of(run)
        level = None if deep else self._objects.level(prefix)
        for name in level.folders if level else ():
            if name != STATE_FOLDER:
                yield FileStat(f"{name}/", 0, False, (0, 0, 0, 0))
        for info in level.objects if level else self._objects.below(prefix):
            path = info.key.removeprefix(prefix)
            if STATE_FOLDER not in path.split("/") and not path.endswith("/"):  # consoles make "folders" so
                yield FileStat(path, info.size, True, stamp(info))

    def stats(self, entry: Entry) -> dict[str, FileStat]:
        """See ``SupportsStats.stats``."""
        home, manifest = self._places.home_now(entry)
        paths = {info.key.removeprefix(home.files): info for info in self._objects.below(home.files)}
        found = {path: FileStat(path, info.size, True, stamp(info)) for path, info in paths.items()}
        if manifest is not None:
            size = manifest.size - self._added(entry, entry.manifest_file, manifest)
            found[entry.manifest_file] = FileStat(entry.manifest_file, size, True, stamp(manifest))
        return found

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> dict[str, Stamp] | None:
        """See ``Storage.stamps``."""
        home, manifest = self._places.home_now(entry)
        if entry.layout.shared:
            there = [*self._beside(entry, home, list(listed))]
        else:
            there = [*self._objects.below(home.files), *([manifest] if manifest and home.place else [])]
        found = {
            entry.manifest_file if info.key == home.manifest else info.key.removeprefix(home.files): stamp(info)
            for info in there
            if info.key not in (home.shown, home.signatures)
        }
        return found or None

    def _beside(self, entry: Entry, home: Home, listed: list[str]) -> Iterator[Info]:
        alone, folders = parted([entry.manifest_file, entry.observed_file, *listed])
        for path in dict.fromkeys(alone):
            if (info := self._objects.look(home.files + path)) is not None:
                yield info
        for folder in folders:
            yield from self._objects.below(f"{home.files}{folder}/")

    def identity(self, entry: Entry) -> str | None:
        """See ``Storage.identity``: the version of its manifest, or of its first file where it has none."""
        home = Home.beside(entry.run, entry.name, entry.layout)
        if entry.layout is ADOPTED and not self.has(home.files + (main_of(entry.name) or "")):
            return None
        info = self._objects.look(home.manifest)
        if not entry.layout.shared:
            self._places.confirm(home.manifest, info)
        if info is not None or entry.layout.shared:
            return None if info is None else info.version
        first = next(iter(self._objects.below(home.files)), None)
        return None if first is None else f"{first.key} {first.version}"

    def has(self, key: str) -> bool:
        """Return whether there is an object, or something below it."""
        return self._objects.look(key) is not None or any(self._objects.below(f"{key}/"))
