"""What lies in the trash of a run, told by its keys alone."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ckptkit.layouts import Layout, Listing, checkpoints
from ckptkit.manifest.names import MANIFEST_NAME, UNLISTED, step_of_name
from ckptkit.storage.interface import Removed
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.service import Info, Objects

_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class Trashed:
    """One removed checkpoint.

    Attributes:
        keys: of its run.
        key: what its entry is called.
        removed_at: when.
        there: its objects, by what their keys are when they are back, relative to the run.
        name: of the checkpoint; None where that cannot be told.
        layout: of the checkpoint; None likewise.
    """

    keys: RunKeys
    key: str
    removed_at: datetime
    there: Mapping[str, Info]
    name: str | None
    layout: Layout | None

    @property
    def manifest_path(self) -> str:
        """Where its manifest is when it is back, relative to the run; there may be none."""
        if self.name is None or self.layout is None:
            return MANIFEST_NAME
        own = self.layout.own(self.name, MANIFEST_NAME)
        return own if self.layout.shared else f"{self.name}/{own}"

    @property
    def manifest(self) -> Info | None:
        """Its manifest."""
        return self.there.get(self.manifest_path)

    @property
    def alone(self) -> bool:
        """Whether nothing but its manifest lies there: its payload is where it always was."""
        return self.there.keys() == {self.manifest_path}

    def told(self, url: str) -> Removed:
        """Return it as the store tells it."""
        step = None if self.name is None else step_of_name(self.name)
        where = f"{url}/{self.keys.trash(self.key)}".rstrip("/")
        return Removed(self.keys.run, self.key, self.removed_at, step, where, None if self.alone else self._size())

    def _size(self) -> int:
        if self.name is None or self.layout is None:
            return 0
        around = "" if self.layout.shared else f"{self.name}/"
        own = {around + self.layout.own(self.name, file) for file in UNLISTED}
        return sum(info.size for path, info in self.there.items() if path not in own)


def new_key() -> tuple[str, datetime]:
    """Return what a new entry is called, and the moment in it."""
    now = datetime.now(UTC)
    return f"{now.strftime(_STAMP)}-{uuid.uuid4().hex[:8]}", now


def listing(objects: Objects, keys: RunKeys) -> list[Trashed]:
    """Return what is in the trash of a run, the last removed first; what is being purged is not."""
    entries: dict[str, dict[str, Info]] = {}
    prefix = keys.trash()
    for info in objects.below(prefix):
        key, _, path = info.key.removeprefix(prefix).partition("/")
        entries.setdefault(key, {})[path] = info
    gone = set(objects.level(keys.aside()).folders) if entries else set[str]()
    found = [entry(keys, key, there) for key, there in entries.items() if key not in gone]
    return sorted((one for one in found if one is not None), key=lambda one: one.key, reverse=True)


def entry_named(objects: Objects, keys: RunKeys, key: str) -> Trashed | None:
    """Return one entry; None where nothing is left of it, or it is being purged."""
    prefix = keys.trash(key)
    there = {info.key.removeprefix(prefix): info for info in objects.below(prefix)}
    return entry(keys, key, there) if there and not any(objects.below(keys.aside(key))) else None


def entry(keys: RunKeys, key: str, there: Mapping[str, Info]) -> Trashed | None:
    """Return an entry from its objects; None where it is none of ours."""
    try:
        removed_at = datetime.strptime(key.rpartition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    folders = list(dict.fromkeys(path.partition("/")[0] for path in there if "/" in path))
    files = [path for path in there if "/" not in path]
    # What a manifest stands for may be gone already, or not be here yet: it is taken at its word.
    found = checkpoints(Listing(folders, files, lambda path: path in there or "/" not in path))
    one = Trashed(keys, key, removed_at, there, None, None)
    possible = [replace(one, name=name, layout=layout) for name, layout in found]
    return next((one for one in possible if one.manifest is not None), possible[0] if possible else one)
