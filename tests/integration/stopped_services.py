"""A store on an object service with one of each kind in it, and what is true of it wherever it is cut off."""

from collections.abc import Callable, Mapping

from service_in_memory import ServiceInMemory

from ckptkit.errors import CkptkitError, ConflictError, DamagedError
from ckptkit.layouts import SIDECAR, STEP_FOLDER, Layout
from ckptkit.manifest.names import MANIFEST_NAME, step_of_name
from ckptkit.storage import Entry, Removed
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.testing.storage_hooks import RUN, manifest, write_into

Files = Mapping[str, bytes]
FILES: Files = {"policy/model.bin": bytes(range(256)) * 8, "rng/rng.json": b'{"state": 1}', "rng/empty": b""}
OTHER: Files = {**FILES, "rng/rng.json": b'{"state": 2}'}
FLAT: Files = {"ep000050.bin": b"weights", "ep000050.json": b"{}"}
SAVED, COPIED, PARTIAL, BESIDE = "step-00000005", "step-00000007", "step-00000008", "ep000050"
TRASHED, TRASHED_COPY = "step-00000004", "step-00000003"
NEW_ONE = "step-00000009"


def commit(storage: ObjectStorage, name: str, files: Files = FILES, replaces: Entry | None = None) -> Entry:
    """Stage, seal and commit a checkpoint."""
    with storage.stage(RUN) as staging:
        write_into(staging.folder, files)
        staging.seal(manifest(RUN, name, files))
        return staging.commit(name, replaces=replaces)


def at(storage: ObjectStorage, name: str, layout: Layout = STEP_FOLDER) -> Entry:
    """Return a place in the run."""
    return Entry(RUN, name, layout, storage)


def prepared() -> ServiceInMemory:
    """Return a service with what was saved, what others copied there, a part, flat files, and two in the trash."""
    service = ServiceInMemory()
    storage = ObjectStorage(service, outlives=False)
    for name in (SAVED, "step-00000006", TRASHED):
        commit(storage, name)
    for name in (COPIED, TRASHED_COPY):
        for path, data in {**FILES, MANIFEST_NAME: manifest(RUN, name, FILES)}.items():
            service.write(f"{RUN}/{name}/{path}", data)
    service.write(f"{RUN}/{PARTIAL}/rng/rng.json", b"a part")
    service.write(f"{RUN}/{PARTIAL}/rng/more", b"of a copy")
    for path, data in FLAT.items():
        service.write(f"{RUN}/{path}", data)
    beside = at(storage, BESIDE, SIDECAR)
    storage.put(beside, beside.manifest_file, manifest(RUN, BESIDE, FLAT), replace=False)
    for name in (TRASHED, TRASHED_COPY):
        storage.remove(at(storage, name))
    return service


def clone(of: ServiceInMemory) -> ServiceInMemory:
    """Return a service with the same objects, for a look that changes nothing."""
    service = ServiceInMemory()
    service.content, service._versions = dict(of.content), of._versions
    return service


def content(entry: Entry) -> dict[str, bytes]:
    """Return all files of an entry, by path."""
    storage = entry.storage
    if entry.layout.shared:
        paths = [path for path in (*FLAT, entry.manifest_file) if storage.stat(entry, path).regular]
    else:
        paths = list(storage.names(entry))
    return {path: storage.read(entry, path, 1 << 20) for path in paths}


def live(service: ServiceInMemory) -> dict[str, dict[str, bytes]]:
    """Return what is listed, by name, all of it read."""
    return {entry.name: content(entry) for entry in ObjectStorage(service, outlives=False).scan(RUN)}


def in_trash(service: ServiceInMemory) -> list[tuple[str, dict[str, bytes]]]:
    """Return what each entry in the trash is once it is back, or nothing where it does not come back."""
    found = []
    for removed in ObjectStorage(service, outlives=False).removed(RUN):
        storage = ObjectStorage(clone(service), outlives=False)
        for entry in list(storage.scan(RUN)):
            if entry.step == removed.step:
                storage.remove(entry, list(FLAT))
        back = _back(storage, removed)
        found += [] if back is None else [back]
    return found


def _back(storage: ObjectStorage, removed: Removed) -> tuple[str, dict[str, bytes]] | None:
    try:
        storage.bring_back(removed)
    except DamagedError:  # the removal was cut off before a manifest was there
        return None
    back = [entry for entry in storage.scan(RUN) if entry.step == removed.step]
    return (back[0].name, content(back[0])) if back else None


def require_nothing_lost(
    service: ServiceInMemory, before: Mapping[str, Files], goes: str | None = None, may_be: Files | None = None
) -> None:
    """Fail unless all that was there is whole in the run or in the trash.

    Args:
        service: after the change was cut off.
        before: what was listed, or in the trash, by name.
        goes: what may be gone for good.
        may_be: the content that the new one has, at any name.
    """
    now, trash = live(service), in_trash(service)
    for name, files in before.items():
        there = [now[name]] if name in now else []
        there += [found for of, found in trash if of == name]
        assert dict(files) in there or name == goes, f"{name} is neither whole in the run nor in the trash"
    for name, files in now.items():
        if not any(path.endswith(MANIFEST_NAME) for path in files):
            continue  # listed as incomplete, until a prune has finished it: what it was is in the trash
        allowed = [dict(before[name])] if name in before else []
        if may_be is not None:
            allowed.append({**may_be, MANIFEST_NAME: manifest(RUN, name, may_be)})
        assert files in allowed, f"{name} is listed and not whole: {sorted(files)}"


def tidy(service: ServiceInMemory, name: str | None) -> None:
    """Do what a prune without a grace time does, then fail unless only what is listed is left; and save once more."""
    storage = ObjectStorage(service, outlives=False)
    kept = live(service)
    storage.finish_removals(RUN)
    for one, files in live(service).items():
        assert kept[one] == files, "to finish a removal has changed what is listed"
    kept = live(service)
    for leftover in storage.leftovers(RUN, 0):
        storage.purge(storage.set_aside(leftover))
    assert storage.leftovers(RUN, 0) == []
    assert live(service) == kept, "to purge has changed what is listed"
    assert storage.removed(RUN) == []
    places = {storage._places.home(entry).place for entry in storage.scan(RUN)} - {None}
    data = set(service.level(f"{RUN}/.ckptkit/data/").folders)
    assert data == places, "payload is left that belongs to nothing"
    assert service.level(f"{RUN}/.ckptkit/aside/").folders == service.level(f"{RUN}/.ckptkit/trash/").folders == ()
    if name is not None and name not in kept:
        commit(storage, name)
        assert live(service)[name].items() >= dict(FILES).items()


Change = Callable[[ObjectStorage], object]


def remove_all(storage: ObjectStorage, step: int) -> None:
    """Remove what claims a step."""
    for entry in storage.at_step(RUN, step):
        storage.remove(entry, list(FLAT) if entry.layout.shared else ())


def bring_back(storage: ObjectStorage, name: str) -> None:
    """Bring back what was removed at a step."""
    for removed in storage.removed(RUN):
        if removed.step == step_of_name(name):
            storage.bring_back(removed)


def purge(storage: ObjectStorage, name: str) -> None:
    """Purge what was removed at a step."""
    keys = {removed.key for removed in storage.removed(RUN) if removed.step == step_of_name(name)}
    for leftover in storage.leftovers(RUN, 0):
        if leftover.key.rpartition("/")[2] in keys:
            storage.purge(storage.set_aside(leftover))


def attempt(change: Change, storage: ObjectStorage, stopped: type[BaseException]) -> BaseException | None:
    """Make a change, and return what stopped it."""
    try:
        change(storage)
    except ConflictError:
        raise
    except (CkptkitError, stopped) as error:
        return error
    return None
