"""A store listed without a request for each checkpoint: a listing of keys tells the versions of all manifests."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ckptkit.layouts import Found
from ckptkit.layouts.own_names import step_of_name
from ckptkit.manifest.names import check_run
from ckptkit.storage.interface import Entry, Storage
from ckptkit.storage.objects import scanning
from ckptkit.storage.objects.files import stamp
from ckptkit.storage.objects.keys import SIGNED, RunKeys
from ckptkit.storage.objects.scanning import Here
from ckptkit.storage.objects.service import Objects, Only, Unmet
from ckptkit.storage.remembering import OwnFiles

_INDEX = "index.json"


class ListedManifests:
    """See ``RememberingStorage`` and ``KeepsIndex``.

    Nothing is remembered from one listing to the next: the service tells all versions.

    Args:
        storage: the store.
        objects: its service.
        telling: whether versions tell each change.
    """

    def __init__(self, storage: Storage, objects: Objects, *, telling: bool) -> None:
        self._storage, self._objects, self._telling = storage, objects, telling
        self._here: dict[str, Here] = {}
        self._noted: dict[str, tuple[frozenset[int | None], frozenset[int | None]]] = {}
        self._index_versions: dict[str, str | None] = {}

    def runs(self, run: str | None = None) -> Iterator[tuple[str, Sequence[Entry]]]:
        """See ``RememberingStorage.runs``."""
        heres = (
            scanning.everywhere(self._objects) if run is None else [scanning.right_in(self._objects, check_run(run))]
        )
        for here in heres:
            if here.found:
                self._here[here.run] = here
                yield here.run, [Entry(here.run, name, layout, self._storage) for name, layout in here.found]

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """See ``RememberingStorage.unlisted``."""
        return self._storage.unlisted(run)

    def own_files(self, entries: Iterable[Entry]) -> Iterator[OwnFiles]:
        """See ``RememberingStorage.own_files``."""
        for entry in entries:
            here = self._here.get(entry.run)
            info = None if here is None else here.manifests.get(entry.name)
            if info is None:
                info = self._objects.look(RunKeys(entry.run).prefix + self._path(entry))
            shown, signed = (
                (True, True) if entry.layout.shared else (entry.step in steps for steps in self._noted_in(entry.run))
            )
            yield OwnFiles(None if info is None else stamp(info), self._telling, shown, signed)

    @staticmethod
    def _path(entry: Entry) -> str:
        return entry.manifest_file if entry.layout.shared else f"{entry.name}/{entry.manifest_file}"

    def _noted_in(self, run: str) -> tuple[frozenset[int | None], frozenset[int | None]]:
        """Return the steps of which anything was shown, and those that are signed."""
        if run not in self._noted:
            prefix = RunKeys(run).shown()
            names = [info.key.removeprefix(prefix) for info in self._objects.below(prefix)]
            shown, signed = ([name for name in names if name.endswith(SIGNED) is such] for such in (False, True))
            self._noted[run] = frozenset(map(_step, shown)), frozenset(map(_step, signed))
        return self._noted[run]

    def read_index(self, run: str) -> bytes | None:
        """See ``KeepsIndex.read_index``."""
        try:
            data, info = self._objects.read(RunKeys(run).state(_INDEX))
        except FileNotFoundError:
            self._index_versions[run] = None
            return None
        self._index_versions[run] = info.version
        return data

    def replace_index(self, run: str, data: bytes) -> None:
        """See ``KeepsIndex.replace_index``."""
        with contextlib.suppress(Unmet):
            self._objects.write(RunKeys(run).state(_INDEX), data, Only(self._index_versions.get(run)))

    def is_still_one(self, entry: Entry) -> bool:
        """See ``RememberingStorage.is_still_one``: it was looked at just now."""
        return True


def _step(name: str) -> int | None:
    return step_of_name(name.partition(".")[0])
