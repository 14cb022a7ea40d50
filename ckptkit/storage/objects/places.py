"""Where the payload of each checkpoint lies, as its manifest said when it was last read or seen in a listing.

It is remembered with the version of that manifest. A payload never changes and no place is used twice, so whoever
reads on after another checkpoint was put in its place reads on in the one whose manifest was read, or finds it gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ckptkit.errors import ConflictError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.storage.interface import Entry
from ckptkit.storage.objects.keys import Home
from ckptkit.storage.objects.member import LONGEST, is_place_of, parted
from ckptkit.storage.objects.service import Info, Objects, Written

_MOST = 100_000  # manifests that are remembered


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest as it lies in the store.

    Attributes:
        data: all of its object.
        info: what the service says of it.
        place: of its payload; None where its files lie beside it.
    """

    data: bytes
    info: Info
    place: str | None


class Places:
    """Knows the home of each entry.

    Args:
        objects: the service.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, tuple[str, str | None]] = {}  # by key of the manifest: its version, the place

    def home(self, entry: Entry) -> Home:
        """Return where the files of an entry are; its manifest is read if it never was."""
        beside = Home.beside(entry.run, entry.name, entry.layout)
        if entry.layout.shared:
            return beside
        if (known := self._known.get(beside.manifest)) is not None:
            place = known[1]
        else:
            try:
                data, info = self._objects.read(beside.manifest, 0, LONGEST)
            except FileNotFoundError:
                return beside  # incomplete
            place = self.learn(entry.name, data, info)
        return beside if place is None else Home.at(entry.run, entry.name, place)

    def home_now(self, entry: Entry) -> tuple[Home, Info | None]:
        """Return where the files of an entry are at this moment, and what the service says of its manifest."""
        beside = Home.beside(entry.run, entry.name, entry.layout)
        info = self._objects.look(beside.manifest)
        self.confirm(beside.manifest, info)
        return (beside if info is None else self.home(entry)), info

    def learn(self, name: str, data: bytes, info: Written) -> str | None:
        """Remember the place that the manifest of a checkpoint of this name tells, and return it."""
        place = parted(data)[1]
        if place is not None and not is_place_of(place, name):
            place = None  # a copy: what is there belongs to another checkpoint
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[info.key] = info.version, place
        return place

    def confirm(self, key: str, info: Written | None) -> None:
        """Forget the place of a manifest that is another one now."""
        if (known := self._known.get(key)) is not None and (info is None or info.version != known[0]):
            self._known.pop(key, None)

    def confirm_all(self, there: Iterable[Info]) -> None:
        """Do the same for manifests that were listed."""
        for info in there if self._known else ():
            self.confirm(info.key, info)

    def stored(self, key: str, name: str) -> Stored | None:
        """Return the manifest of a checkpoint of this name, wherever it lies, all of it; None: there is none."""
        try:
            data, info = self._objects.read(key, 0, MAX_BYTES + LONGEST + 1)
        except FileNotFoundError:
            return None
        if len(data) > MAX_BYTES + LONGEST:
            raise ConflictError(f"{key}: is longer than any manifest", hint="remove that object by hand")
        place = parted(data)[1]
        return Stored(data, info, place if place is not None and is_place_of(place, name) else None)
