"""Whatever request of a save, a removal or a purge is the last one that an object service sees, nothing is lost."""

import pytest
from service_in_memory import ServiceInMemory, Stopped, StoppingService
from stopped_services import (
    COPIED,
    NEW_ONE,
    OTHER,
    PARTIAL,
    SAVED,
    TRASHED,
    TRASHED_COPY,
    Change,
    at,
    attempt,
    bring_back,
    commit,
    in_trash,
    live,
    prepared,
    purge,
    remove_all,
    require_nothing_lost,
    tidy,
)

from ckptkit.errors import StoreError
from ckptkit.manifest.names import step_of_name
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.store.pruning import undelete
from ckptkit.store.reference import Ref

CHANGES: dict[str, tuple[Change, str | None]] = {
    "save": (lambda storage: commit(storage, NEW_ONE, OTHER), None),
    "replace": (lambda storage: commit(storage, SAVED, OTHER, at(storage, SAVED)), None),
    "replace a copy": (lambda storage: commit(storage, COPIED, OTHER, at(storage, COPIED)), None),
    "replace a part of a copy": (lambda storage: commit(storage, PARTIAL, OTHER, at(storage, PARTIAL)), None),
    "remove": (lambda storage: remove_all(storage, 5), None),
    "remove a copy": (lambda storage: remove_all(storage, 7), None),
    "remove flat files": (lambda storage: remove_all(storage, 50), None),
    "bring back": (lambda storage: bring_back(storage, TRASHED), None),
    "bring back a copy": (lambda storage: bring_back(storage, TRASHED_COPY), None),
    "purge": (lambda storage: purge(storage, TRASHED), TRASHED),
    "purge a copy": (lambda storage: purge(storage, TRASHED_COPY), TRASHED_COPY),
    "finish": (lambda storage: storage.finish_removals("ppo/run1"), None),
}
"""What is done, and what may be gone afterwards."""


def unreachable() -> StoreError:
    return StoreError("the service does not answer")


@pytest.mark.parametrize("error", [Stopped, unreachable])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", CHANGES)
def test_wherever_a_change_is_cut_off_nothing_is_lost(what: str, done: bool, error: type[BaseException]) -> None:
    change, goes = CHANGES[what]
    points = 0
    while True:
        service = prepared()
        before = {**live(service), **dict(in_trash(service))}
        stopping = StoppingService(service, points + 1, done=done, error=error)
        attempt(change, ObjectStorage(stopping, outlives=False), Stopped)
        if not stopping.stopped:
            break
        points += 1
        require_nothing_lost(service, before, goes, OTHER)
        ObjectStorage(service, outlives=False).finish_removals("ppo/run1")
        require_nothing_lost(service, before, goes, OTHER)
        tidy(service, NEW_ONE)
    assert points > 0 or what == "finish"


def test_a_part_of_a_copy_that_is_removed_is_not_lost_either() -> None:
    points = 0
    while True:
        service = prepared()
        partial = live(service)[PARTIAL]
        stopping = StoppingService(service, points + 1, done=False)
        attempt(lambda storage: remove_all(storage, 8), ObjectStorage(stopping, outlives=False), Stopped)
        if not stopping.stopped:
            break
        points += 1
        held = [live(service).get(PARTIAL, {}), *(files for name, files in in_trash(service) if name == PARTIAL)]
        assert partial in held
        tidy(service, None)
    assert points > 2


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", [TRASHED, TRASHED_COPY])
def test_an_undelete_that_was_cut_off_is_repeated(name: str, done: bool) -> None:
    points, step = 0, step_of_name(name)
    while True:
        service = prepared()
        files = dict(in_trash(service))[name]
        stopping = StoppingService(service, points + 1, done=done)
        attempt(lambda storage: undelete(storage, Ref.parse(f"ppo/run1@{step}")), ObjectStorage(stopping), Stopped)
        if not stopping.stopped:
            break
        points += 1
        service.delete([key for key in service.content if "/leases/" in key])  # of a process that is no more
        if name not in live(service) or not whole(service, name):
            undelete(ObjectStorage(service, outlives=False), Ref.parse(f"ppo/run1@{step}"))
        assert live(service)[name] == files
    assert points > 1


def whole(service: ServiceInMemory, name: str) -> bool:
    return "manifest.json" in live(service)[name]
