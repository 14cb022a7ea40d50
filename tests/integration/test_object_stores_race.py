"""Several processes at one object store: exactly one of them wins, and nothing needs the locks that keep them apart."""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from service_in_memory import ServiceInMemory
from stopped_services import FILES, NEW_ONE, at, commit, in_trash, live

from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, LockedError, StoreError
from ckptkit.formats import strict_json
from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage.objects import leases
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.storage.objects.service import Info, Only
from ckptkit.testing.storage_hooks import RUN, manifest
from ckptkit.testing.threads import at_once

ROUNDS = 100


@pytest.fixture
def service() -> ServiceInMemory:
    return ServiceInMemory()


def opened(service: ServiceInMemory) -> ObjectStorage:
    return ObjectStorage(service, outlives=False)


def of(number: int, name: str = NEW_ONE) -> dict[str, bytes]:
    files = {**FILES, "rng/rng.json": b"%d" % number}
    return {**files, MANIFEST_NAME: manifest(RUN, name, files)}


def race(storages: list[ObjectStorage], act: Callable[[ObjectStorage, int], object], count: int = 4) -> list[int]:
    """Let threads act at once on stores that know nothing of each other; returns which of them succeeded."""

    def attempt(number: int) -> int | None:
        try:
            act(storages[number % len(storages)], number)
        except ConflictError:
            return None
        return number

    return [number for number in at_once(attempt, count) if number is not None]


def test_of_two_processes_that_save_one_step_exactly_one_wins(service: ServiceInMemory) -> None:
    storages = [opened(service), opened(service)]
    for step in range(ROUNDS):
        name = f"step-{step:08d}"
        won = race(storages, lambda storage, n, name=name: commit(storage, name, files_of(n)))  # type: ignore[misc]
        assert len(won) == 1
        assert live(service)[name] == of(won[0], name)
        service.delete([key for key in service.content if key.startswith(f"{RUN}/{name}/")])
    data = [info.key for info in service.below(f"{RUN}/.ckptkit/data/")]
    assert len(data) == ROUNDS * len(FILES), "the losers have taken back what they uploaded"


def files_of(number: int) -> dict[str, bytes]:
    return {**FILES, "rng/rng.json": b"%d" % number}


def test_of_two_processes_that_replace_one_step_one_wins_and_nothing_is_lost(service: ServiceInMemory) -> None:
    commit(opened(service), NEW_ONE, files_of(99))
    storages = [opened(service), opened(service)]
    for _ in range(20):
        before = live(service)[NEW_ONE]
        won = race(storages, lambda storage, n: commit(storage, NEW_ONE, files_of(n), at(storage, NEW_ONE)))
        assert won, "the first to write wins"
        assert live(service)[NEW_ONE] in [of(number) for number in won]
        assert (NEW_ONE, before) in in_trash(service)
        for removed in opened(service).removed(RUN):
            service.delete([key for key in service.content if f"/trash/{removed.key}/" in key])


def test_of_two_processes_that_remove_one_step_one_does(service: ServiceInMemory) -> None:
    storages = [opened(service), opened(service)]
    for _ in range(20):
        entry = commit(storages[0], NEW_ONE)
        removed = []

        def remove(storage: ObjectStorage, number: int, entry: object = entry, removed: list[int] = removed) -> None:
            try:
                storage.remove(at(storage, NEW_ONE))
                removed.append(number)
            except StoreError:
                pass

        race(storages, remove)
        assert len(removed) == 1
        opened(service).finish_removals(RUN)
        trash = opened(service).removed(RUN)
        assert [one.step for one in trash] == [9]
        storages[1].bring_back(trash[0])
        assert live(service)[NEW_ONE] == {**FILES, MANIFEST_NAME: manifest(RUN, NEW_ONE, FILES)}
        storages[0].remove(at(storages[0], NEW_ONE))
        for leftover in storages[0].leftovers(RUN, 0):
            storages[0].purge(leftover)


def test_what_is_brought_back_while_it_is_purged_is_whole_or_not_there(service: ServiceInMemory) -> None:
    """Without any lock: whichever request of one comes between which of the other."""
    whole = {**FILES, MANIFEST_NAME: manifest(RUN, NEW_ONE, FILES)}
    for _ in range(50):
        storages = [opened(service), opened(service)]
        removed = storages[0].remove(commit(storages[0], NEW_ONE))

        def act(storage: ObjectStorage, number: int, removed: object = removed) -> None:
            try:
                if number:
                    storage.bring_back(storage.removed(RUN)[0])
                else:
                    for leftover in storage.leftovers(RUN, 0):
                        storage.purge(storage.set_aside(leftover))
            except (CkptkitError, IndexError, FileNotFoundError):
                pass

        race(storages, act, 2)
        assert live(service) in ({}, {NEW_ONE: whole})
        for entry in list(storages[0].scan(RUN)):
            storages[0].remove(entry)
        for leftover in storages[0].leftovers(RUN, 0):
            storages[0].purge(leftover)


def test_what_was_purged_as_a_whole_just_before_it_is_back_is_not_there(
    service: ServiceInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark is gone by then, too: only the manifest in the trash tells."""
    storage, other = opened(service), opened(service)
    removed = storage.remove(commit(storage, NEW_ONE))
    real = service.write

    def write(key: str, data: bytes, only: Only | None = None) -> Info:
        if key == f"{RUN}/{NEW_ONE}/{MANIFEST_NAME}":
            for leftover in other.leftovers(RUN, 0):
                other.purge(other.set_aside(leftover))
        return real(key, data, only)

    monkeypatch.setattr(service, "write", write)
    with pytest.raises(DamagedError, match="is being purged"):
        storage.bring_back(removed)
    assert live(service) == {}


def test_a_save_whose_payload_is_purged_before_its_commit_fails(service: ServiceInMemory) -> None:
    """A prune with too short a grace time takes it for one that died."""
    storage = opened(service)
    with storage.stage(RUN) as staged:
        (staged.folder / "a.bin").write_bytes(b"x")
        staged.seal(manifest(RUN, NEW_ONE, {"a.bin": b"x"}))
        other = opened(service)
        asides = [other.set_aside(leftover) for leftover in other.leftovers(RUN, 0)]
        assert len(asides) == 1
        with pytest.raises(StoreError, match="purged"):
            staged.commit(NEW_ONE)
    assert live(service) == {}
    for aside in asides:
        other.purge(aside)
    assert opened(service).leftovers(RUN, 0) == []


def test_a_save_that_is_committed_before_its_payload_is_purged_stays(service: ServiceInMemory) -> None:
    """Whoever purges looks once more."""
    storage, other = opened(service), opened(service)
    with storage.stage(RUN) as staged:
        (staged.folder / "a.bin").write_bytes(b"x")
        staged.seal(manifest(RUN, NEW_ONE, {"a.bin": b"x"}))
        found = other.leftovers(RUN, 0)
        staged.commit(NEW_ONE)
    for leftover in found:
        other.purge(leftover)
    assert live(service)[NEW_ONE]["a.bin"] == b"x"


def test_the_lost_answer_to_a_commit_is_no_conflict(service: ServiceInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest that is there already is our own."""
    storage = opened(service)
    real = service.write

    def write(key: str, data: bytes, only: Only | None = None) -> Info:
        info = real(key, data, only)
        return info if only is None else real(key, data, only)  # tried again: it is refused

    monkeypatch.setattr(service, "write", write)
    commit(storage, NEW_ONE)
    assert live(service)[NEW_ONE].items() >= FILES.items()


def test_pins_that_another_process_changes_meanwhile_are_not_written_over(service: ServiceInMemory) -> None:
    one, other = opened(service), opened(service)
    one.replace_state(RUN, "refs.json", b"first")
    with one.locked(RUN, "refs"):
        assert one.read_state(RUN, "refs.json", 100) == b"first"
        other.replace_state(RUN, "refs.json", b"second")  # without the lock: it was taken for dead
        with pytest.raises(ConflictError, match="another process"):
            one.replace_state(RUN, "refs.json", b"third")
    assert one.read_state(RUN, "refs.json", 100) == b"second"


def test_processes_keep_out_of_each_others_changes(service: ServiceInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptkit.storage.objects.states._WAIT", 0.2)
    one, other = opened(service), opened(service)
    with one.locked(RUN, "change"):
        for lock in ("change", "refs"):
            with pytest.raises(LockedError, match="is being changed by process"), other.locked(RUN, lock):  # type: ignore[arg-type]
                pass
        with other.locked(RUN, "save"):
            pass
    with other.locked(RUN, "change"):
        pass
    assert [key for key in service.content if "/leases/" in key and not key.endswith("/clock")] == []


def test_a_lease_of_a_dead_process_is_taken_at_once_and_one_of_another_machine_after_a_minute(
    service: ServiceInMemory,
) -> None:
    key = f"{RUN}/.ckptkit/leases/hold"
    one, other = opened(service), opened(service)
    one.hold(RUN)
    note = strict_json.loads(service.content[key][0])
    living = os.getppid()
    service.write(key, strict_json.dumps({**note, "pid": living, "began": leases._began(living)}))
    with pytest.raises(LockedError, match=f"is being written by process {living} "):
        other.hold(RUN)
    service.write(key, strict_json.dumps({**note, "began": "1"}))  # that number belongs to another process now
    other.hold(RUN)
    other.release(RUN)
    service.write(key, strict_json.dumps({**note, "machine": "another"}))
    with pytest.raises(LockedError):
        other.hold(RUN)
    data, info = service.content[key]
    old = datetime.now(UTC) - timedelta(seconds=61)
    service.content[key] = data, type(info)(info.key, info.size, info.version, old)
    other.hold(RUN)
    assert strict_json.loads(service.content[key][0])["machine"] == note["machine"]


def test_a_run_that_another_store_of_this_process_holds_is_taken_over(service: ServiceInMemory) -> None:
    """A notebook that trains again is no stranger to itself."""
    one, other = opened(service), opened(service)
    one.hold(RUN)
    other.hold(RUN)
    other.release(RUN)
    assert f"{RUN}/.ckptkit/leases/hold" not in service.content


def test_a_lease_is_renewed_and_let_go_with_its_store(service: ServiceInMemory) -> None:
    storage = opened(service)
    storage.hold(RUN)
    key = f"{RUN}/.ckptkit/leases/hold"
    before = service.content[key][1].version
    storage._states._leases.renew()
    assert service.content[key][1].version != before
    del storage
    assert key not in service.content


def test_a_save_into_a_service_without_create_only_writes_says_so(service: ServiceInMemory) -> None:
    """And what that means; nothing is said of one that has them."""
    store = CheckpointStore(opened(service), cache=False)
    assert store.save("r", 1, {"rng": random.Random(1)}).warnings == []
    service.powers = service.powers - {"create"}
    (warning,) = store.save("r", 2, {"rng": random.Random(2)}).warnings
    assert (warning.code, warning.severity) == ("store-not-create-only", "warning")
    assert "of two processes that save one step at once both seem to succeed" in warning.message
