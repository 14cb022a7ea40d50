"""The trash of an in-memory store: a removed checkpoint's objects under another prefix, moved there in one step."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count

from ckptkit.errors import ConflictError, DamagedError, RefusedError, StoreError
from ckptkit.layouts import Layout, checkpoints
from ckptkit.layouts.adopted import parted
from ckptkit.manifest.names import UNLISTED, lies_beside, step_of_name
from ckptkit.storage.interface import Entry, Leftover, Removed
from ckptkit.testing.memory_objects import Objects

_STAMP = "%Y%m%dT%H%M%S.%fZ"


class Trash:
    """What was removed from one run.

    Args:
        objects: of the store.
        run: name of the run.
        prefix: of the keys of the run.
        where: of the run, for a person.
    """

    _numbers = count(1)  # tells apart what was removed at the same moment, and keeps its order

    def __init__(self, objects: Objects, run: str, prefix: str, where: str) -> None:
        self._objects, self._run, self._run_prefix = objects, run, prefix
        self._where = f"{where}.ckptkit/trash/"
        self._prefix, self._aside = f"{prefix}.ckptkit/trash/", f"{prefix}.ckptkit/aside/"

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        """Move an entry here; raises StoreError where there is none."""
        with self._objects.lock:
            keys = self._keys(entry, files)
            if not keys:
                raise StoreError(f"{entry.ref}: cannot be removed: it is not there")
            key = f"{datetime.now(UTC).strftime(_STAMP)}-{next(self._numbers):08d}"
            self._objects.move(keys, self._run_prefix, f"{self._prefix}{key}/")
            return self._removed(key)

    def _keys(self, entry: Entry, files: Sequence[str]) -> list[str]:
        if not entry.layout.shared:
            return self._objects.below(f"{self._run_prefix}{entry.name}/")
        if self._objects.get(self._run_prefix + entry.manifest_file) is None:
            return []
        # A sidecar's files lie right beside it: a manifest that says otherwise must not move what is others'.
        names = [
            entry.manifest_file,
            *entry.notes,
            *(f for f in files if lies_beside(entry.layout, f)),
        ]
        self._require_listed(entry, names)
        return [key for name in dict.fromkeys(names) if self._objects.get(key := self._run_prefix + name) is not None]

    def _require_listed(self, entry: Entry, names: Sequence[str]) -> None:
        for folder in parted(names)[1]:
            for key in self._objects.below(f"{self._run_prefix}{folder}/"):
                if (path := key.removeprefix(self._run_prefix)) not in names:
                    raise RefusedError(f"{entry.ref}: is not removed: no manifest lists {path}", hint="adopt it again")

    def listing(self) -> list[Removed]:
        """Return what is here, the last removed first."""
        return [self._removed(key) for key in sorted(self._objects.listing(self._prefix).folders, reverse=True)]

    def _removed(self, key: str) -> Removed:
        found = self._content(key)
        moment = datetime.strptime(key.rpartition("-")[0], _STAMP).replace(tzinfo=UTC)
        step = step_of_name(found[0]) if found else None
        return Removed(self._run, key, moment, step, self._where + key, self._size(key, found))

    def _size(self, key: str, found: tuple[str, Layout] | None) -> int:
        if found is None:
            return 0
        name, layout = found
        prefix = f"{self._prefix}{key}/" if layout.shared else f"{self._prefix}{key}/{name}/"
        own = {layout.own(name, file) for file in UNLISTED}
        payload = [one for one in self._objects.below(prefix) if one.removeprefix(prefix) not in own]
        return sum(len(one.data) for one in map(self._objects.get, payload) if one is not None)

    def _content(self, key: str) -> tuple[str, Layout] | None:
        return next(iter(checkpoints(self._objects.listing(f"{self._prefix}{key}/"))), None)

    def bring_back(self, key: str) -> None:
        """Move an entry back; raises ConflictError and DamagedError as ``Storage.bring_back``."""
        source = f"{self._prefix}{key}/"
        with self._objects.lock:
            found = self._content(key)
            if found is None:
                raise DamagedError(f"{self._where}{key}: holds no checkpoint any more")
            name, layout = found
            keys = self._objects.below(source)
            places = {k.removeprefix(source).partition("/")[0] for k in keys} if layout.shared else {name}
            for place in places:
                if self._objects.has(self._run_prefix + place):
                    raise ConflictError(f"{self._run_prefix}{place}: exists already")
            self._objects.move(keys, source, self._run_prefix)

    def leftovers(self, grace: float) -> list[Leftover]:
        """Return what has been here for more than ``grace`` seconds."""
        now = datetime.now(UTC)
        old = [one for one in self.listing() if (now - one.removed_at).total_seconds() > grace]
        return [Leftover(self._run, one.key, one.where) for one in old]

    def set_aside(self, key: str) -> None:
        """Move an entry to where only ``purge`` finds it."""
        source = f"{self._prefix}{key}/"
        with self._objects.lock:
            self._objects.move(self._objects.below(source), source, f"{self._aside}{key}/")

    def purge(self, key: str, on_bytes: Callable[[int], None] | None = None) -> None:
        """Remove an entry for good, and tell its size."""
        with self._objects.lock:
            size = self._objects.size
            for around in (self._prefix, self._aside):
                self._objects.drop(f"{around}{key}/")
            size -= self._objects.size
        if on_bytes is not None:
            on_bytes(size)
