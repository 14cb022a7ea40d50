"""Checkpoints are copied between stores: verified at both ends, whole or not at all, and never over another one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from service_in_memory import ServiceInMemory

from ckptkit import CheckpointStore, Files, NotFoundError, RefusedError, StoreError, events
from ckptkit.catalog import shown
from ckptkit.progress import Progress
from ckptkit.storage import Storage, open_storage
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.store import copying_to, going_along
from ckptkit.testing import MemoryStorage

RUN = "ppo/run1"


def files(folder: Path, step: int) -> Files:
    given = folder / f"given-{step}"
    (given / "deep").mkdir(parents=True)
    (given / "weights.bin").write_bytes(bytes([step]) * 70_000)
    (given / "deep" / "more.bin").write_bytes(b"the same in all")
    return Files(given, "files")


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    opened = CheckpointStore(tmp_path / "store", cache=False)
    for step in (1, 2, 3):
        opened.save(RUN, step, {"data": files(tmp_path, step)}, tags=["even"] if step == 2 else [])
    opened.save("other", 7, {"data": files(tmp_path, 7)})
    opened.pin(f"{RUN}@1")
    return opened


@pytest.fixture(params=["folder", "memory", "objects"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "objects":
        return ObjectStorage(ServiceInMemory(), outlives=False)
    return open_storage(tmp_path / "there") if request.param == "folder" else MemoryStorage()


def damage(store: CheckpointStore, ref: str) -> None:
    at = store.locate(ref)[0]
    path = at.folder / "data" / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def outcomes(done: copying_to.Transfer) -> dict[str, str]:
    return {one.source.ref: one.outcome for one in done.checkpoints}


def refs(storage: Storage) -> list[str]:
    return [at.ref for at in storage.scan()] if storage.has_run(".") else []


def test_all_of_a_store_is_copied_and_verifies_there_with_the_same_manifests(
    store: CheckpointStore, there: Storage
) -> None:
    done = store.copy_to(there)
    assert set(outcomes(done).values()) == {"copied"}
    copied = CheckpointStore(there, cache=False)
    report = copied.verify()
    assert [one.at.ref for one in report.checkpoints if one.good] == ["other@7", *(f"{RUN}@{n}" for n in (1, 2, 3))]
    for one in report.checkpoints:
        at = store.locate(one.at.ref)[0]
        assert there.read(one.at, "manifest.json", 1 << 20) == at.manifest.read_bytes()
    assert done.exit_code == 0


def test_pins_and_tags_go_along_and_those_that_are_there_stay(store: CheckpointStore, there: Storage) -> None:
    store.copy_to(there, f"{RUN}@1")
    copied = CheckpointStore(there, cache=False)
    copied.tag(f"{RUN}@1", "mine")
    store.copy_to(there)
    assert {one.at.step: (one.pinned, set(one.tags)) for one in copied.list(RUN)} == {
        1: (True, {"mine"}), 2: (False, {"even"}), 3: (False, set())
    }  # fmt: skip


def test_what_was_shown_of_a_checkpoint_goes_along_also_when_the_checkpoint_was_there(
    store: CheckpointStore, there: Storage
) -> None:
    store.copy_to(there, f"{RUN}@1")
    at, digest = store.locate(f"{RUN}@1")[0], store.manifest(f"{RUN}@1").digest
    shown.note(at, digest, shown.Shown("rehearsed", steps=8))
    assert outcomes(store.copy_to(there, f"{RUN}@1")) == {f"{RUN}@1": "there"}
    copied = CheckpointStore(there, cache=False)
    assert [(one.how, one.steps) for one in copied.evidence(f"{RUN}@1")] == [("rehearsed", 8)]


def test_what_is_there_is_skipped_and_only_what_is_missing_is_copied(store: CheckpointStore, there: Storage) -> None:
    store.copy_to(there, f"{RUN}@2")
    assert outcomes(store.copy_to(there, RUN)) == {f"{RUN}@1": "copied", f"{RUN}@2": "there", f"{RUN}@3": "copied"}
    assert set(outcomes(store.copy_to(there)).values()) == {"there", "copied"}
    assert set(outcomes(store.copy_to(there)).values()) == {"there"}


def test_what_was_copied_a_moment_ago_is_not_read_again(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    known = CheckpointStore(store.storage.url)
    known.copy_to(tmp_path / "there")
    read: list[int] = []
    done = known.copy_to(tmp_path / "there", on_progress=lambda now: read.append(now.done))
    assert (set(outcomes(done).values()), read) == ({"there"}, [])


def test_what_is_damaged_there_is_copied_again_and_the_damaged_one_is_in_the_trash(
    store: CheckpointStore, tmp_path: Path
) -> None:
    store.copy_to(tmp_path / "there")
    copied = CheckpointStore(tmp_path / "there", cache=False)
    damage(copied, f"{RUN}@2")
    assert outcomes(store.copy_to(tmp_path / "there", RUN))[f"{RUN}@2"] == "copied"
    assert copied.verify(f"{RUN}@2").exit_code == 0
    assert [one.step for one in copied.removed()] == [2]


def test_what_is_damaged_here_is_told_and_not_copied_and_the_rest_is(store: CheckpointStore, there: Storage) -> None:
    damage(store, f"{RUN}@2")
    done = store.copy_to(there)
    assert (outcomes(done)[f"{RUN}@2"], done.exit_code) == ("damaged", 1)
    (one,) = [one for one in done.checkpoints if one.outcome == "damaged"]
    assert "weights.bin" in one.reason
    assert refs(there) == ["other@7", f"{RUN}@1", f"{RUN}@3"]


def test_another_checkpoint_at_the_step_is_a_conflict_and_stays_as_it_is(
    store: CheckpointStore, there: Storage, tmp_path: Path
) -> None:
    other = CheckpointStore(there, cache=False)
    mine = other.save(RUN, 2, {"data": files(tmp_path, 9)}).manifest.digest
    done = store.copy_to(there)
    assert (outcomes(done)[f"{RUN}@2"], done.exit_code) == ("conflict", 6)
    assert other.manifest(f"{RUN}@2").digest == mine
    assert refs(there) == ["other@7", *(f"{RUN}@{n}" for n in (1, 2, 3))]


def test_the_newest_that_verifies_of_each_run_is_copied(store: CheckpointStore, there: Storage) -> None:
    damage(store, f"{RUN}@3")
    done = store.copy_to(there, latest=True)
    assert outcomes(done) == {"other@7": "copied", f"{RUN}@2": "copied", f"{RUN}@3": "damaged"}
    assert refs(there) == ["other@7", f"{RUN}@2"]


def test_a_dry_run_says_what_would_be_copied_and_creates_nothing(store: CheckpointStore, tmp_path: Path) -> None:
    store.copy_to(tmp_path / "there", f"{RUN}@1")
    before = sorted((tmp_path / "there").rglob("*"))
    done = store.copy_to(tmp_path / "there", RUN, dry_run=True)
    assert outcomes(done) == {f"{RUN}@1": "there", f"{RUN}@2": "copy", f"{RUN}@3": "copy"}
    assert sorted((tmp_path / "there").rglob("*")) == before
    assert not store.copy_to(tmp_path / "nowhere", dry_run=True).copied
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_that_arrives_otherwise_than_it_was_read_is_not_committed(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptkit.store.arriving import StagedFolder

    copy = StagedFolder.copy

    def failing(self: StagedFolder, at: Any, listed: Any, **how: Any) -> Any:
        found = copy(self, at, listed, **how)
        with (self.partial / listed[0].path).open("r+b") as stream:  # as a disk that loses a write does
            stream.write(b"?")
        return found

    monkeypatch.setattr(StagedFolder, "copy", failing)
    with pytest.raises(StoreError, match="not what was written"):
        store.copy_to(tmp_path / "there", f"{RUN}@1")
    assert refs(open_storage(tmp_path / "there")) == []


@pytest.mark.parametrize("place", ["store", "store/inner", "."])
def test_a_store_is_not_copied_into_itself(store: CheckpointStore, tmp_path: Path, place: str) -> None:
    with pytest.raises(RefusedError):
        store.copy_to(tmp_path / place)


def test_what_names_nothing_is_told(store: CheckpointStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        store.copy_to(tmp_path / "there", "nobody")
    assert not (tmp_path / "there").exists()


def test_a_store_with_files_in_parts_is_copied_with_files_in_parts(tmp_path: Path) -> None:
    import numpy as np

    store = CheckpointStore(tmp_path / "store", cache=False, dedup="tensor")
    for step in (1, 2, 3):
        weights = {"frozen": np.arange(40_000.0), "head": np.arange(3000.0) * step}
        store.save("r", step, {"weights": weights})
    store.copy_to(tmp_path / "there")
    copied = CheckpointStore(tmp_path / "there", cache=False)
    assert copied.verify().exit_code == 0
    sizes = [
        sum({found.st_ino: found.st_blocks for path in root.rglob("*") if (found := path.stat())}.values())
        for root in (tmp_path / "store", tmp_path / "there")
    ]
    assert sizes[1] < 1.1 * sizes[0]
    store.copy_to(memory := MemoryStorage())
    assert CheckpointStore(memory, cache=False).verify().exit_code == 0


def test_copies_are_told_as_events_and_so_is_what_is_not_copied(store: CheckpointStore, tmp_path: Path) -> None:
    heard: list[events.Event] = []
    store.listen(heard.append)
    damage(store, f"{RUN}@2")
    store.copy_to(tmp_path / "there", RUN)
    store.copy_to(tmp_path / "there", f"{RUN}@1")
    assert [(one.kind, getattr(one, "ref", None), getattr(one, "to", None)) for one in heard] == [
        ("copied", f"{RUN}@1", str(tmp_path / "there")),
        ("not_copied", f"{RUN}@2", str(tmp_path / "there")),
        ("copied", f"{RUN}@3", str(tmp_path / "there")),
    ]


def test_damaged_pins_and_tags_are_told_and_keep_nothing_from_being_copied(
    store: CheckpointStore, tmp_path: Path
) -> None:
    (tmp_path / "store" / RUN / ".ckptkit" / going_along.refs.NAME).write_text("{")
    done = store.copy_to(tmp_path / "there")
    assert (set(outcomes(done).values()), done.exit_code) == ({"copied"}, 3)
    assert [line.partition(":")[0] for line in done.undone] == [RUN]


def test_a_save_goes_on_in_a_copy_as_in_the_original(store: CheckpointStore, there: Storage, tmp_path: Path) -> None:
    store.copy_to(there)
    copied = CheckpointStore(there, cache=False)
    saved = copied.save(RUN, 4, {"data": files(tmp_path, 4)}, parent=f"{RUN}@3")
    assert saved.manifest.sequence == store.manifest(f"{RUN}@3").sequence + 1
    assert copied.verify().exit_code == 0


def test_what_a_service_has_checked_as_it_took_it_is_not_read_again(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    there, known = ObjectStorage(ServiceInMemory(), outlives=False), CheckpointStore(store.storage.url)
    known.copy_to(there)
    CheckpointStore(there).save("saved", 1, {"data": files(tmp_path, 11)})
    monkeypatch.setattr(ServiceInMemory, "open", None)
    assert set(outcomes(known.copy_to(there)).values()) == {"there"}
    assert CheckpointStore(there).verify(level="digest", trust_unchanged=True).exit_code == 0


def test_what_a_service_took_without_a_checksum_is_read_again(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    service = ServiceInMemory()
    service.powers -= {"checksums"}
    there, known = ObjectStorage(service, outlives=False), CheckpointStore(store.storage.url)
    known.copy_to(there)
    read: list[int] = []
    known.copy_to(there, RUN, on_progress=lambda now: read.append(now.done))
    assert read[-1] == sum(store.manifest(f"{RUN}@{step}").size for step in (1, 2, 3))


def test_copies_at_the_same_time_do_not_get_in_each_others_way(store: CheckpointStore, there: Storage) -> None:
    def copied(number: int) -> copying_to.Transfer:
        return CheckpointStore(store.storage.url, cache=False).copy_to(there)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(copied, range(4)))
    assert {outcome for done in found for outcome in outcomes(done).values()} <= {"copied", "there"}
    assert not any(done.undone for done in found)
    assert CheckpointStore(there, cache=False).verify().exit_code == 0
    assert refs(there) == ["other@7", *(f"{RUN}@{n}" for n in (1, 2, 3))]


def test_what_is_removed_while_others_are_copied_is_gone_and_no_damage(store: CheckpointStore, there: Storage) -> None:
    at = store.locate(f"{RUN}@3")[0]

    def remove(now: Progress) -> None:
        if at.identity is not None:
            store.storage.remove(at)

    done = store.copy_to(there, RUN, on_progress=remove)
    assert (outcomes(done)[f"{RUN}@3"], done.exit_code) == ("gone", 0)
    assert refs(there) == [f"{RUN}@1", f"{RUN}@2"]


def test_what_is_being_saved_behind_is_copied_too(store: CheckpointStore, there: Storage, tmp_path: Path) -> None:
    store.save(RUN, 4, {"data": files(tmp_path, 4)}, wait=False)
    store.copy_to(there, RUN, latest=True)
    assert refs(there) == [f"{RUN}@4"]


def test_the_run_of_the_stores_own_folder_is_copied(there: Storage, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", cache=False)
    store.save(".", 1, {"data": files(tmp_path, 1)}, tags=["kept"])
    assert outcomes(store.copy_to(there)) == {".@1": "copied"}
    copied = CheckpointStore(there, cache=False)
    assert (copied.verify().exit_code, [one.tags for one in copied.list(".")]) == (0, [("kept",)])
