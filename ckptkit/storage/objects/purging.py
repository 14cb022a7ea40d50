"""What is left of removed checkpoints and of saves that died: found by listing, taken aside, freed.

To take something aside is to write one object, its mark, and to delete the manifest in the trash. Whoever brings a
checkpoint back looks after its commit whether that manifest is still there, and whoever saves one whether there is a
mark; whoever frees a payload looks for a manifest in the run that names it after the mark is written. So one of the
two always sees the other, and no payload of a checkpoint that is listed is freed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from ckptkit.layouts.own_names import MANIFEST_NAME, step_of_name
from ckptkit.storage.interface import Leftover
from ckptkit.storage.objects import clock, moving, scanning, trashed
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.places import Places
from ckptkit.storage.objects.service import Info, Objects
from ckptkit.storage.objects.trashed import Trashed

_ORPHAN = "orphan"


class Purge:
    """Finds and frees leftovers.

    Args:
        objects: the service.
        places: knows where payload lies.
    """

    def __init__(self, objects: Objects, places: Places) -> None:
        self._objects, self._places = objects, places

    # --- found ---

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """See ``Storage.leftovers``; how old something is tells the service's own clock."""
        keys = RunKeys(run)
        level = self._objects.level(keys.state())
        found: list[tuple[str, datetime]] = []
        if "trash" in level.folders:
            found += [(f"trash/{one.key}", _newest(one.there.values())) for one in self._trash(keys)]
        if "aside" in level.folders:
            found += self._aside(keys)
        if "data" in level.folders:
            found += self._orphans(keys)
        now = clock.now(self._objects, run) if found else None
        old = [key for key, since in found if now is not None and (now - since).total_seconds() >= grace]
        result = [Leftover(run, key, f"{self._objects.url}/{keys.state(key)}") for key in old]
        uploads = self._objects.unfinished(keys.payload(), grace)
        where = f"{self._objects.url}/{keys.payload().rstrip('/')}"
        return result + [Leftover(run, f"upload/{name}", f"{where}: unfinished upload {name}") for name in uploads]

    def _trash(self, keys: RunKeys) -> list[Trashed]:
        return [one for one in trashed.listing(self._objects, keys) if one.there]

    def _aside(self, keys: RunKeys) -> Iterator[tuple[str, datetime]]:
        entries: dict[str, list[Info]] = {}
        for info in self._objects.below(keys.aside()):
            entries.setdefault(info.key.removeprefix(keys.aside()).partition("/")[0], []).append(info)
        return ((f"aside/{key}", _newest(there)) for key, there in entries.items())

    def _orphans(self, keys: RunKeys) -> Iterator[tuple[str, datetime]]:
        """Yield payload that no manifest names, and when the last of it was written.

        A step with as many manifests as places has none; only of the others manifests are read.
        """
        by_step: dict[int | None, list[str]] = {}
        for place in self._objects.level(keys.payload()).folders:
            by_step.setdefault(step_of_name(place.rpartition(".")[0]), []).append(place)
        # What is committed meanwhile is listed after its payload was.
        counted, manifests = self._manifests(keys)
        for step, places in by_step.items():
            if step is None or len(places) <= counted[step]:
                continue
            stored = (self._places.stored(key, name) for name, key in manifests if step_of_name(name) == step)
            named = {one.place for one in stored if one is not None}
            for place in places:
                there = list(self._objects.below(keys.payload(place))) if place not in named else []
                if there:
                    yield f"data/{place}", _newest(there)

    def _manifests(self, keys: RunKeys) -> tuple[Counter[int | None], list[tuple[str, str]]]:
        """Return how many manifests with payload elsewhere each step may have, and name and key of all there are."""
        here = scanning.right_in(self._objects, keys.run)
        found = [(name, keys.manifest(name)) for name, layout in here.found if not layout.shared]
        counted = Counter(step_of_name(name) for name in (*here.alone, *here.unknown))
        for one in self._trash(keys):
            if one.name is not None and one.manifest is not None:
                found.append((one.name, one.manifest.key))
                counted[step_of_name(one.name)] += one.alone
        for info in self._objects.below(keys.aside()):
            key, _, path = info.key.removeprefix(keys.aside()).partition("/")
            name = key if path == _ORPHAN else path.partition("/")[0]
            counted[step_of_name(key.rpartition(".")[0] if path == _ORPHAN else name)] += 1
            found += [(name, info.key)] if path.endswith(f"/{MANIFEST_NAME}") else []
        return counted, found

    # --- taken aside, and freed ---

    def set_aside(self, leftover: Leftover) -> Leftover:
        """See ``Storage.set_aside``: one write makes it what nothing brings back."""
        keys = RunKeys(leftover.run)
        kind, _, key = leftover.key.partition("/")
        if kind == "data":
            self._objects.write(f"{keys.aside(key)}{_ORPHAN}", b"")
        elif kind == "trash":
            one = trashed.entry_named(self._objects, keys, key)
            if one is not None and one.manifest is not None:
                self._objects.copy(one.manifest.key, keys.aside(key) + one.manifest_path)
                self._objects.delete([one.manifest.key])
            elif one is not None:
                self._objects.write(f"{keys.aside(key)}{_ORPHAN}", b"")
        return Leftover(leftover.run, leftover.key if kind == "upload" else f"aside/{key}", leftover.where)

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """See ``Storage.purge``."""
        kind, _, key = leftover.key.partition("/")
        if kind == "upload":
            self._objects.abort(key)
            return
        if kind != "aside":
            self.set_aside(leftover)
        keys = RunKeys(leftover.run)
        marks = [info.key for info in self._objects.below(keys.aside(key))]
        for place in self._freed(keys, key, marks):
            moving.delete_below(self._objects, keys.payload(place), on_bytes)
            self._objects.delete([keys.shown(place), keys.signatures(place)])
        moving.delete_below(self._objects, keys.trash(key), on_bytes)
        self._objects.delete(marks)

    def _freed(self, keys: RunKeys, key: str, marks: list[str]) -> Iterator[str]:
        """Yield the place of a payload that is to be freed: no manifest in the run names it."""
        for mark in marks:
            name = mark.removeprefix(keys.aside(key)).partition("/")[0]
            if name == _ORPHAN:
                place, step = key, step_of_name(key.rpartition(".")[0])
                if step is not None and place not in self._named_in_run(keys, step):
                    yield place
            elif mark.endswith(f"/{MANIFEST_NAME}"):
                kept, live = (self._places.stored(one, name) for one in (mark, keys.manifest(name)))
                if kept is not None and kept.place is not None and (live is None or live.place != kept.place):
                    yield kept.place

    def _named_in_run(self, keys: RunKeys, step: int) -> set[str]:
        found = scanning.manifests_of_step(self._objects, keys.run, step)
        stored = (self._places.stored(manifest, name) for name, manifest in found)
        return {one.place for one in stored if one is not None and one.place is not None}


def is_being_purged(objects: Objects, run: str, place: str) -> bool:
    """Return whether the payload of a save is taken for that of one that died; asked right after its commit."""
    return objects.look(f"{RunKeys(run).aside(place)}{_ORPHAN}") is not None


def _newest(there: Iterable[Info]) -> datetime:
    return max(info.modified for info in there)
