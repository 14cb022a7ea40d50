"""The contract of a store, kept by an object service; ``docs/adr/0047`` says how."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from ckptkit.durable import require_space
from ckptkit.errors import ConflictError, RefusedError, StoreError
from ckptkit.health import Finding
from ckptkit.layouts import ADOPTED, Found, Listing, adopted
from ckptkit.manifest.names import STATE_FOLDER, check_run
from ckptkit.storage import scratch_folders, scratch_space
from ckptkit.storage.interface import Entry, FileStat, Leftover, Lock, Removed, Stamp
from ckptkit.storage.objects import examining, fetching, scanning
from ckptkit.storage.objects.files import Files
from ckptkit.storage.objects.keys import Home, RunKeys
from ckptkit.storage.objects.member import with_place
from ckptkit.storage.objects.places import Places
from ckptkit.storage.objects.purging import Purge
from ckptkit.storage.objects.remembered import ListedManifests
from ckptkit.storage.objects.removing import Trash
from ckptkit.storage.objects.requests import SupportsUnseen
from ckptkit.storage.objects.service import NEW, Objects, Only, Unmet
from ckptkit.storage.objects.staging import ObjectStaging
from ckptkit.storage.objects.states import States
from ckptkit.storage.remembering import FolderMemory


class ObjectStorage:
    """Runs and checkpoints as keys of an object service. Threads may share it.

    Args:
        objects: the service, opened at the root of the store.
        outlives: whether other processes can open it.
    """

    def __init__(self, objects: Objects, *, outlives: bool = True) -> None:
        self.objects, self.outlives = objects, outlives
        self._places = Places(objects)
        self._files = Files(objects, self._places)
        self._trash = Trash(objects, self._places)
        self._states = States(objects)
        self._purge = Purge(objects, self._places)

    @property
    def url(self) -> str:
        """See ``Storage.url``; without credentials."""
        return self.objects.url

    @property
    def same_store(self) -> str:
        """See ``Storage.same_store``: its URL, which a copy does not have."""
        return f"objects:{self.url}"

    @property
    def user(self) -> str:
        """See ``Storage.user``: whose an object is a service does not say, so all who may write there are one."""
        return self.same_store

    @property
    def caution(self) -> str | None:
        """See ``SupportsCaution.caution``."""
        if "create" in self.objects.powers:
            return None
        return (
            f"{self.url}: the service has no create-only writes: of two processes that save one step at once both seem "
            "to succeed, and one of them is lost; see to it that one process at a time saves a run"
        )

    @property
    def unseen(self) -> str | None:
        """See ``SupportsUnseen.unseen``."""
        return self.objects.unseen if isinstance(self.objects, SupportsUnseen) else None

    # --- what is there ---

    def require(self) -> None:
        """See ``Storage.require``: a prefix without objects is a store that is empty."""
        next(iter(self.objects.below("")), None)

    def require_reachable(self, run: str) -> None:
        """See ``Storage.require_reachable``."""
        parts = [] if check_run(run) == "." else run.split("/")
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            if self.objects.look(RunKeys(".").manifest(place)) is not None:
                raise RefusedError(
                    f"{self.url}/{place}: is a checkpoint, no run can be inside it",
                    hint="choose another run name; nothing was changed",
                )

    def has_run(self, run: str) -> bool:
        """See ``Storage.has_run``."""
        return any(True for _ in self.objects.below(RunKeys(check_run(run)).prefix))

    def scan(self, run: str | None = None, *, below: str = ".", skip_unreadable: bool = False) -> Iterator[Entry]:
        """See ``Storage.scan``; a service that lists one run lists all of them."""
        if run is not None:
            heres = iter([scanning.right_in(self.objects, check_run(run))])
        else:
            heres = scanning.everywhere(self.objects, below if below == "." else check_run(below))
        for here in heres:
            self._places.confirm_all(here.manifests.values())
            yield from (Entry(here.run, name, layout, self) for name, layout in here.found)

    def at_step(self, run: str, step: int) -> list[Entry]:
        """See ``Storage.at_step``."""
        found = scanning.at_step(self.objects, check_run(run), step)
        return [Entry(run, name, layout, self) for name, layout in found]

    def run_stamp(self, run: str) -> str:
        """See ``Storage.run_stamp``: nothing is cheaper here than to look."""
        return ""

    def identity(self, entry: Entry) -> str | None:
        """See ``Storage.identity``."""
        return self._files.identity(entry)

    def owner(self, entry: Entry) -> str | None:
        """See ``Storage.owner``."""
        return None if self.identity(entry) is None else self.user

    # --- reading ---

    def read(self, entry: Entry, path: str, limit: int) -> bytes:
        """See ``Storage.read``."""
        return self._files.read(entry, path, limit)

    def open(self, entry: Entry, path: str) -> BinaryIO:
        """See ``Storage.open``."""
        return self._files.open(entry, path)

    def stat(self, entry: Entry, path: str) -> FileStat:
        """See ``Storage.stat``."""
        return self._files.stat(entry, path)

    def stats(self, entry: Entry) -> Mapping[str, FileStat]:
        """See ``SupportsStats.stats``."""
        return self._files.stats(entry)

    def walk(self, run: str, *, deep: bool = True) -> Iterator[FileStat]:
        """See ``SupportsWalk.walk``."""
        return self._files.walk(check_run(run), deep=deep)

    def names(self, entry: Entry, within: str = "") -> Iterator[str]:
        """See ``Storage.names``."""
        return self._files.names(entry, within)

    def stamps(self, entry: Entry, listed: Iterable[str] = ()) -> Mapping[str, Stamp] | None:
        """See ``Storage.stamps``."""
        return self._files.stamps(entry, listed)

    def telling(self, entry: Entry, stamped: Mapping[str, Stamp], taken: float) -> bool:
        """See ``Storage.telling``: versions that can be swapped by are other ones after each write."""
        return "swap" in self.objects.powers

    def settled(self, entry: Entry, stamped: Mapping[str, Stamp]) -> bool:
        """See ``Storage.settled``."""
        return "swap" in self.objects.powers

    def fetch(self, entry: Entry, paths: Sequence[str], *, keep: bool = False) -> AbstractContextManager[Path]:
        """See ``Storage.fetch``: checked copies in the scratch space."""
        return fetching.fetched(self, self._files, entry, paths, keep=keep)

    def remembering(self, memory: FolderMemory) -> ListedManifests:
        """See ``SupportsRemembering.remembering``."""
        return ListedManifests(self, self.objects, telling="swap" in self.objects.powers)

    def where(self, entry: Entry, path: str | None = None) -> str:
        """See ``Storage.where``: the URL of the object."""
        if path is None:
            return f"{self.url}/{Home.beside(entry.run, entry.name, entry.layout).files}".rstrip("/")
        return f"{self.url}/{self._files.key(entry, path)}"

    def folder(self, entry: Entry) -> Path:
        """See ``Storage.folder``: there is none."""
        raise self._no_folder()

    def run_folder(self, run: str) -> Path:
        """See ``Storage.run_folder``: there is none."""
        check_run(run)
        raise self._no_folder()

    def _no_folder(self) -> StoreError:
        return StoreError(f"store {self.url}: has no folder on this machine", hint="`ckptkit restore` copies files out")

    def unlisted(self, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
        """See ``Storage.unlisted``: no trainer writes here."""
        return iter(())

    # --- writing ---

    def prepare(self, run: str, *, needed: int) -> None:
        """See ``Storage.prepare``: an object is created below the run, and removed."""
        keys = RunKeys(check_run(run))
        self.require_space(run, needed)
        try:
            examining.probe(self.objects, keys.state())
        except Unmet:
            raise StoreError(f"{self.url}/{keys.prefix}: an object of a new name is refused") from None

    def require_space(self, run: str, needed: int) -> None:
        """See ``Storage.require_space``.

        A service does not tell how much fits. What is known is the room on this machine, where a save is written first,
        in the scratch space.
        """
        require_space(scratch_space.place(), needed)

    @contextmanager
    def stage(self, run: str) -> Iterator[ObjectStaging]:
        """See ``Storage.stage``."""
        check_run(run)
        with scratch_folders.fresh() as folder:
            staging = ObjectStaging(self, run, folder, self.objects, self._places, self._trash)
            try:
                yield staging
            finally:
                staging.discard()

    def put(self, entry: Entry, path: str, data: bytes, *, replace: bool) -> None:
        """See ``Storage.put``. A manifest that is put there has its files beside it, as others write them."""
        only: Only | None = None if replace else NEW
        key = self._files.key(entry, path)
        if replace and path == entry.manifest_file and (place := self._places.home(entry).place) is not None:
            data = with_place(data, place)
        try:
            info = self.objects.write(key, data, only)
        except Unmet:
            raise ConflictError(f"{self.where(entry, path)}: exists already") from None
        if path == entry.manifest_file:
            self._places.confirm(key, info)

    # --- removing ---

    def remove(self, entry: Entry, files: Sequence[str] = (), *, lasting: bool = True) -> Removed:
        """See ``Storage.remove``; what the service has said outlasts a power cut here."""
        return self._trash.remove(entry, files)

    def make_last(self, removed: Sequence[Removed | Leftover]) -> None:
        """See ``Storage.make_last``."""

    def removed(self, run: str | None = None) -> list[Removed]:
        """See ``Storage.removed``."""
        heres = scanning.everywhere(self.objects) if run is None else ()
        runs = [here.run for here in heres if here.has_state] if run is None else [run]
        found = [one for name in runs for one in self._trash.listing(name)]
        return sorted(found, key=lambda one: one.key, reverse=True)  # it begins with the moment

    def bring_back(self, removed: Removed) -> None:
        """See ``Storage.bring_back``."""
        self._trash.bring_back(removed)

    def finish_removals(self, run: str, claimed: Collection[str] = ()) -> None:
        """See ``Storage.finish_removals``."""
        self._trash.finish(run, claimed)

    def leftovers(self, run: str, grace: float) -> list[Leftover]:
        """See ``Storage.leftovers``."""
        return self._purge.leftovers(run, grace)

    def set_aside(self, leftover: Leftover) -> Leftover:
        """See ``Storage.set_aside``."""
        return self._purge.set_aside(leftover)

    def purge(self, leftover: Leftover, on_bytes: Callable[[int], None] | None = None) -> None:
        """See ``Storage.purge``."""
        self._purge.purge(leftover, on_bytes)

    # --- what trainers wrote ---

    def orphans(self, run: str) -> list[Entry]:
        """See ``Storage.orphans``."""
        prefix = RunKeys(check_run(run)).prefix
        level = self.objects.level(prefix)
        folders = [name for name in level.folders if name != STATE_FOLDER]
        files = [info.key.removeprefix(prefix) for info in level.objects]
        names = adopted.orphans(Listing(folders, files, {*folders, *files}.__contains__))
        return [Entry(run, name, ADOPTED, self) for name in sorted(names)]

    def forget(self, entry: Entry) -> None:
        """See ``Storage.forget``."""
        own = (*entry.notes, entry.manifest_file)
        self.objects.delete([self._files.key(entry, path) for path in own])

    def adopt_from(self, run: str, folder: Path) -> None:
        """See ``Storage.adopt_from``: there is none."""
        raise self._no_folder()

    def adopted_from(self, run: str) -> Path:
        """See ``Storage.adopted_from``: there is none."""
        raise self._no_folder()

    # --- what belongs to a run and to no checkpoint ---

    def read_state(self, run: str, name: str, limit: int) -> bytes | None:
        """See ``Storage.read_state``."""
        return self._states.read(run, name, limit)

    def replace_state(self, run: str, name: str, data: bytes, *, lasting: bool = True) -> None:
        """See ``Storage.replace_state``."""
        self._states.replace(run, name, data)

    def where_state(self, run: str, name: str) -> str:
        """See ``Storage.where_state``."""
        return f"{self.url}/{RunKeys(run).state(name)}"

    def locked(self, run: str, lock: Lock) -> AbstractContextManager[None]:
        """See ``Storage.locked``."""
        return self._states.locked(run, lock)

    def hold(self, run: str) -> None:
        """See ``Storage.hold``."""
        self._states.hold(run)

    def release(self, run: str) -> None:
        """See ``Storage.release``."""
        self._states.release(run)

    def require_outside(self, path: Path) -> None:
        """See ``Storage.require_outside``: no file of this machine lies in this store."""

    def require_source(self, path: Path) -> None:
        """See ``Storage.require_source``."""

    def examine(self) -> Iterator[Finding]:
        """See ``SupportsExamine.examine``."""
        return examining.examine(self.objects)
