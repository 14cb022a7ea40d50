"""A save: written into a folder of this machine, uploaded to a place of its own, and then one write that counts."""

import contextlib
import os
from functools import partial
from pathlib import Path

from ckptkit import durable, parallel
from ckptkit.errors import CkptkitError, ConflictError, StoreError
from ckptkit.layouts import STEP_FOLDER
from ckptkit.manifest.summary import summarise
from ckptkit.storage.interface import Entry, Stamp, Storage
from ckptkit.storage.objects import arrivals, moving, purging, trashed
from ckptkit.storage.objects.files import stamp
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.member import is_place_of, new_place, with_place
from ckptkit.storage.objects.places import Places
from ckptkit.storage.objects.removing import Trash
from ckptkit.storage.objects.service import NEW, Info, Objects, Only, Unmet, Written

_THREADS = 16
_SMALL = 1 << 20  # bytes: larger files are uploaded in parts, by threads of their own


class ObjectStaging:
    """See ``ckptkit.storage.interface.Staging``.

    Args:
        storage: the store.
        run: name of the run.
        folder: where backends write; removed by whoever made it.
        objects: the service.
        places: knows where payload lies.
        trash: of the store.
    """

    def __init__(
        self, storage: Storage, run: str, folder: Path, objects: Objects, places: Places, trash: Trash
    ) -> None:
        self.folder = folder
        self._storage, self._objects, self._places, self._trash = storage, objects, places, trash
        self._keys = RunKeys(run)
        self._place: str | None = None
        self._data = b""
        self._pid = os.getpid()
        self._arrived: dict[str, Info] = {}
        self._keep = False  # whether a manifest may name what was uploaded

    def seal(self, manifest: bytes) -> None:
        """Upload everything but the manifest; see ``Staging.seal``."""
        self._place = new_place(_name(manifest))
        self._data = with_place(manifest, self._place)
        found = (Path(around, name) for around, _, names in durable.walk(self.folder) for name in names)
        files = {path.relative_to(self.folder).as_posix(): path.lstat().st_size for path in found}
        small = [path for path, size in files.items() if size <= _SMALL]
        sent = parallel.results([partial(self._upload, path) for path in small], _THREADS, lambda count: None)
        sent += [self._upload(path, lambda count: None) for path in sorted(files.keys() - set(small))]
        prefix = self._keys.payload(self._place)
        arrived = arrivals.seen(self._objects, prefix, sent)
        self._arrived = {info.key.removeprefix(prefix): info for info in arrived}
        for path, info in self._arrived.items():
            if info.size != files[path]:
                raise StoreError(
                    f"{info.key}: {files[path]} bytes were sent, {info.size} arrived", hint="save it again"
                )

    def _upload(self, path: str, told: parallel.Tell) -> Written:
        return self._objects.upload(self._keys.payload(self._place or "") + path, self.folder / path)

    @property
    def checked(self) -> dict[str, Stamp]:
        """See ``SupportsChecked.checked``."""
        sure = "checksums" in self._objects.powers
        return {path: stamp(info) for path, info in self._arrived.items()} if sure else {}

    def commit(self, name: str, *, replaces: Entry | None = None) -> Entry:
        """See ``Staging.commit``."""
        if self._place is None:
            raise StoreError(f"{name}: has no manifest yet")
        if not is_place_of(self._place, name):
            raise StoreError(f"{name}: does not end in the step that its manifest tells")
        entry = Entry(self._keys.run, name, STEP_FOLDER, self._storage)
        if replaces is None:
            self._require_free(entry)
            info = self._write(entry, NEW)
        else:
            info = self._replace(entry)
        self._require_kept(entry, info)
        self._places.learn(name, self._data, info)
        return entry

    def discard(self) -> None:
        """Take back what was uploaded, unless a manifest may name it; a child that was forked meanwhile has no part."""
        if self._place is not None and not self._keep and os.getpid() == self._pid:
            with contextlib.suppress(CkptkitError):  # a prune finds it after the grace time
                moving.delete_below(self._objects, self._keys.payload(self._place))

    def _require_free(self, entry: Entry) -> None:
        around = self._keys.prefix + entry.name
        if self._objects.look(around) is not None or any(True for _ in self._objects.below(f"{around}/")):
            raise self._in_the_way(entry)

    def _in_the_way(self, entry: Entry) -> ConflictError:
        return ConflictError(f"{self._objects.url}/{self._keys.prefix}{entry.name}: exists already")

    def _write(self, entry: Entry, only: Only) -> Written:
        """Write the manifest. Where an answer is lost, what is there tells; if nothing tells, nothing is deleted."""
        key = self._keys.manifest(entry.name)
        self._keep = True
        try:
            return self._objects.write(key, self._data, only)
        except (Unmet, StoreError) as error:
            stored = self._places.stored(key, entry.name)
            if stored is not None and stored.data == self._data:
                return stored.info
            if not isinstance(error, Unmet):
                raise
        self._keep = False
        raise self._in_the_way(entry)

    def _replace(self, entry: Entry) -> Written:
        """Keep the old one in the trash, then write over its manifest; it is whole in one of the two at any time."""
        stored = self._places.stored(self._keys.manifest(entry.name), entry.name)
        key, _ = trashed.new_key()
        there: dict[str, Info] = {}
        if stored is not None and stored.place is not None:
            self._trash.keep(entry, stored, key)
        else:
            there = self._trash.keep_beside(entry, key)
        try:
            info = self._write(entry, NEW if stored is None else Only(stored.info.version))
        except ConflictError:
            self._trash.drop(self._keys.trash(key))
            raise
        self._trash.delete_beside({path: at for path, at in there.items() if at.key != info.key})
        return info

    def _require_kept(self, entry: Entry, info: Written) -> None:
        if purging.is_being_purged(self._objects, self._keys.run, self._place or ""):
            with contextlib.suppress(Unmet):
                self._objects.delete_only(info.key, info.version)
            raise StoreError(
                f"{entry.ref}: was taken for a save that died, and purged",
                hint="save it again, and let prune wait longer than a save takes; nothing was committed",
            )


def _name(manifest: bytes) -> str:
    """Return what a checkpoint of this step is called, for people who look at the service."""
    try:
        return STEP_FOLDER.name(summarise(manifest).step)
    except CkptkitError:
        return STEP_FOLDER.name(0)
