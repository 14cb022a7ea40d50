"""Into the trash and back: one object moves where the payload has a place of its own, else every file does.

At each moment a checkpoint is whole in the run or whole in the trash; for a moment it may be in both, and then the one
in the run counts. Nothing here needs a lock to be right.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from ckptkit.errors import ConflictError, DamagedError, StoreError
from ckptkit.storage.interface import Entry, Removed
from ckptkit.storage.objects import moving, trashed
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.places import Places, Stored
from ckptkit.storage.objects.service import NEW, Info, Objects, Unmet
from ckptkit.storage.objects.trashed import Trashed

_CHANGED = "somebody else has changed it just now; look again"


class Trash:
    """The trash of all runs.

    Args:
        objects: the service.
        places: knows where payload lies.
    """

    def __init__(self, objects: Objects, places: Places) -> None:
        self._objects, self._places = objects, places

    def remove(self, entry: Entry, files: Sequence[str] = ()) -> Removed:
        """See ``Storage.remove``."""
        keys = RunKeys(entry.run)
        key, moment = trashed.new_key()
        stored = None if entry.layout.shared else self._places.stored(keys.manifest(entry.name), entry.name)
        if stored is not None and stored.place is not None:
            self.keep(entry, stored, key)
            there = {f"{entry.name}/{entry.manifest_file}": stored.info}
            self._delete_only(entry, stored.info, keys.trash(key))
        else:
            there = self._remove_beside(entry, key, files)
        return Trashed(keys, key, moment, there, entry.name, entry.layout).told(self._objects.url)

    def keep(self, entry: Entry, stored: Stored, key: str) -> None:
        """Write the manifest of a checkpoint that is about to go into the trash."""
        self._objects.write(RunKeys(entry.run).trash(key) + f"{entry.name}/{entry.manifest_file}", stored.data)

    def keep_beside(self, entry: Entry, key: str, files: Sequence[str] = ()) -> dict[str, Info]:
        """Copy all files that lie beside their manifest, and it last, into the trash; returns what lies in the run."""
        keys = RunKeys(entry.run)
        there = moving.paths_of(self._objects, entry, files)
        manifest = entry.manifest_file if entry.layout.shared else f"{entry.name}/{entry.manifest_file}"
        if not there or (entry.layout.shared and manifest not in there):
            raise StoreError(f"{entry.ref}: cannot be removed: it is not there", hint=_CHANGED)
        payload = [path for path in there if path != manifest]
        moving.copy_all(self._objects, payload, keys.prefix, keys.trash(key))
        moving.copy_all(self._objects, [manifest] if manifest in there else [], keys.prefix, keys.trash(key))
        return there

    def _remove_beside(self, entry: Entry, key: str, files: Sequence[str]) -> dict[str, Info]:
        keys = RunKeys(entry.run)
        there = self.keep_beside(entry, key, files)
        manifest = entry.manifest_file if entry.layout.shared else f"{entry.name}/{entry.manifest_file}"
        if manifest in there:
            self._delete_only(entry, there[manifest], keys.trash(key))
        self.delete_beside(there)
        return there

    def delete_beside(self, there: dict[str, Info]) -> None:
        """Delete files of which the trash has copies."""
        self._objects.delete([info.key for info in there.values()])

    def _delete_only(self, entry: Entry, manifest: Info, kept: str) -> None:
        try:
            self._objects.delete_only(manifest.key, manifest.version)
        except Unmet:
            self.drop(kept)
            raise ConflictError(f"{entry.ref}: cannot be removed", hint=_CHANGED) from None
        finally:
            self._places.confirm(manifest.key, None)

    def drop(self, prefix: str) -> None:
        """Delete an entry that did not come to be one, or that is back in the run."""
        moving.delete_below(self._objects, prefix)

    def listing(self, run: str) -> list[Removed]:
        """Return what is in the trash of a run, the last removed first."""
        return [one.told(self._objects.url) for one in trashed.listing(self._objects, RunKeys(run))]

    # --- back ---

    def bring_back(self, removed: Removed) -> None:
        """See ``Storage.bring_back``."""
        keys = RunKeys(removed.run)
        one = trashed.entry_named(self._objects, keys, removed.key)
        if one is None or one.name is None or one.layout is None:
            raise DamagedError(f"{removed.where}: holds no checkpoint any more")
        manifest = one.manifest
        kept = None if manifest is None else self._places.stored(manifest.key, one.name)
        back = {} if kept is not None and kept.place is not None else self._free(one)
        if kept is not None and kept.place is not None:
            self._require_free(one, keys.payload(kept.place))
        moving.copy_all(self._objects, [p for p in back if p != one.manifest_path], keys.trash(one.key), keys.prefix)
        if kept is not None:
            self._write_back(one, kept)
        self.drop(keys.trash(one.key))

    def _write_back(self, one: Trashed, kept: Stored) -> None:
        key = one.keys.prefix + one.manifest_path
        try:
            info = self._objects.write(key, kept.data, NEW)
        except Unmet:
            raise ConflictError(f"{self._objects.url}/{key}: exists already") from None
        self._places.confirm(key, info)
        # Whoever purges it deletes the manifest in the trash first and looks for one in the run after that: as long as
        # the former is there, the latter will be seen. The mark alone does not tell: it goes with the payload.
        if kept.place is not None and self._objects.look(kept.info.key) is None:
            self._objects.delete_only(key, info.version)
            raise DamagedError(f"{self._objects.url}/{key}: is being purged")

    def _require_free(self, one: Trashed, payload: str) -> None:
        around = f"{one.keys.prefix}{one.name}/"
        if any(self._objects.below(around)):
            raise ConflictError(f"{self._objects.url}/{around.rstrip('/')}: exists already")
        if not any(self._objects.below(payload)):
            raise DamagedError(f"{self._objects.url}/{payload.rstrip('/')}: nothing is left of its files")

    def _free(self, one: Trashed) -> list[str]:
        """Return which files are to come back; raises ConflictError where others lie at their places.

        Those that are back already, from a time that was cut off, are no others.
        """
        prefix, missing = one.keys.prefix, []
        shared = one.layout is not None and one.layout.shared
        for top in dict.fromkeys(path.partition("/")[0] for path in one.there) if shared else [one.name]:
            there = {info.key.removeprefix(prefix): info for info in self._objects.below(f"{prefix}{top}/")}
            if (alone := self._objects.look(f"{prefix}{top}")) is not None:
                there[str(top)] = alone
            for path, info in there.items():
                if path not in one.there or not moving.same_content(self._objects, info, one.there[path]):
                    raise ConflictError(f"{self._objects.url}/{prefix}{path}: exists already")
            ours = [path for path in one.there if path.partition("/")[0] == top]
            missing += [path for path in ours if path not in there]
        return missing

    # --- what was cut off ---

    def finish(self, run: str, claimed: Collection[str] = ()) -> None:
        """See ``Storage.finish_removals``."""
        keys = RunKeys(run)
        found = trashed.listing(self._objects, keys)[::-1]
        here = set(self._objects.level(keys.prefix).folders) if found else set[str]()
        times, seen = Counter(one.name for one in found), set[str]()
        for one in found:
            if one.name is None or one.layout is None:
                continue
            if not one.alone or one.layout.shared:
                self._finish_beside(one, claimed)
            elif one.name in here or times[one.name] > 1:
                self._finish_stored(one, seen, live=one.name in here)

    def _finish_stored(self, one: Trashed, seen: set[str], *, live: bool) -> None:
        """Drop an entry whose checkpoint is in the run, or in the trash twice: two may have begun to remove it."""
        assert one.name is not None
        kept = self._places.stored(one.keys.trash(one.key) + one.manifest_path, one.name)
        place = None if kept is None else kept.place
        now = self._places.stored(one.keys.manifest(one.name), one.name) if live else None
        if place is not None and (place in seen or (now is not None and now.place == place)):
            self.drop(one.keys.trash(one.key))
        elif place is not None:
            seen.add(place)

    def _finish_beside(self, one: Trashed, claimed: Collection[str]) -> None:
        prefix = one.keys.prefix
        there = self._still_there(one)
        live, kept = self._objects.look(prefix + one.manifest_path), one.manifest
        another = live is not None and self._is_stored(one, live)
        if live is not None and kept is not None and moving.same_content(self._objects, live, kept):
            self.drop(one.keys.trash(one.key))  # it was not removed yet, or is back: all of it is there
        elif kept is None and not another and there.keys() == one.there.keys() and self._all_same(one, there):
            self.drop(one.keys.trash(one.key))  # an incomplete one, likewise
        elif there and (live is None or another):
            last = kept or max(one.there.values(), key=lambda info: info.modified)
            moving.delete_remnants(self._objects, one.there, there, last, claimed)

    def _still_there(self, one: Trashed) -> dict[str, Info]:
        prefix = one.keys.prefix
        if one.layout is not None and not one.layout.shared:
            below = self._objects.below(f"{prefix}{one.name}/")
            return {path: info for info in below if (path := info.key.removeprefix(prefix)) in one.there}
        return {path: info for path in one.there if (info := self._objects.look(prefix + path)) is not None}

    def _all_same(self, one: Trashed, there: dict[str, Info]) -> bool:
        return all(moving.same_content(self._objects, info, one.there[path]) for path, info in there.items())

    def _is_stored(self, one: Trashed, live: Info) -> bool:
        stored = self._places.stored(live.key, one.name or "")
        return stored is not None and stored.place is not None
