"""What a store asks of an object service for each command: requests are what costs time and money."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from counted_service import Counting

from ckptkit import CheckpointStore, Files
from ckptkit.errors import DiskFullError
from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage import scratch_space
from ckptkit.storage.objects.member import with_place
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.storage.objects.service import Info
from ckptkit.testing.storage_hooks import RUN


@pytest.fixture
def service() -> Counting:
    return Counting()


def test_ten_thousand_checkpoints_are_found_by_listing_alone(service: Counting) -> None:
    storage = ObjectStorage(service, outlives=False)
    for step in range(10_000):
        name = f"step-{step:08d}"
        data = with_place(b"{}", f"{name}.x")
        service.content[f"{RUN}/{name}/{MANIFEST_NAME}"] = (
            data,
            Info(f"{RUN}/{name}/{MANIFEST_NAME}", len(data), str(step), datetime.now(UTC)),
        )
    service.requests.clear()
    assert len(list(storage.scan(RUN))) == 10_000
    assert service.requests == {"list": 20}


FILES = 20


@pytest.fixture
def saved(service: Counting, tmp_path: Path) -> CheckpointStore:
    """A store with one checkpoint of 21 files in two items."""
    (tmp_path / "logs").mkdir()
    for number in range(FILES):
        (tmp_path / "logs" / f"{number}.txt").write_text(f"{number}" * 100)
    store = CheckpointStore(ObjectStorage(service, outlives=False))
    store.save("r", 1, {"logs": Files(tmp_path / "logs", "files"), "rng": random.Random(1)})
    service.requests.clear()
    return store


def test_a_save_writes_each_file_once_and_two_small_objects(saved: CheckpointStore, service: Counting) -> None:
    saved.save("r", 2, {"rng": random.Random(2)})
    assert service.requests["write"] == 3, "the file, the manifest, and the note of the last save"
    assert service.requests["look"] + service.requests["read"] + service.requests["list"] < 20


def test_a_verification_reads_each_file_once_and_looks_at_none(saved: CheckpointStore, service: Counting) -> None:
    assert saved.verify("r@1").exit_code == 0
    payload = FILES + 1
    assert service.requests["read"] <= payload + 3
    assert service.requests["look"] + service.requests["list"] < 15


def test_a_restore_reads_each_file_once(saved: CheckpointStore, service: Counting) -> None:
    restored = saved.restore("r", into={"logs": None, "rng": random.Random(3)})
    assert service.requests["read"] <= FILES + 4
    folder = Path(restored.items["logs"])
    assert (folder / "3.txt").read_text() == "3" * 100
    (folder / "3.txt").write_text("scribbled")
    assert saved.verify("r@1").exit_code == 0


def test_without_room_for_copies_digests_are_what_is_known(
    saved: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int) -> None:
        raise DiskFullError(f"{folder}: {needed} bytes are needed, and there is no room")

    monkeypatch.setattr(scratch_space, "require_space", full)
    (report,) = saved.verify("r@1").checkpoints
    assert {problem.severity for problem in report.problems} == {"unjudged"}
    assert "there is no room" in report.problems[0].message


def test_a_listing_that_is_repeated_reads_no_manifest(
    service: Counting, saved: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one on another machine, once one has read them."""
    for step in range(2, 90):
        saved.save("r", step, {"rng": random.Random(step)})
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "one"))
    for cache, reads in (("one", 89), ("one", 0), ("another", 0)):
        monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / cache))
        service.requests.clear()
        assert len(list(CheckpointStore(saved.storage).list("r"))) == 89
        beside = 2 if cache == "another" or reads else 1  # the pins; the index in the store
        assert service.requests["read"] == reads + beside, service.requests


def test_an_index_is_made_anew_from_the_manifests(
    service: Counting, saved: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (2, 3):
        saved.save("r", step, {"rng": random.Random(step)})
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "one"))
    store = CheckpointStore(saved.storage)
    assert [(one.run, one.checkpoints, one.known) for one in store.index()] == [("r", 3, 0)]
    service.write("r/.ckptkit/index.json", b"what is damaged is not believed")
    assert [(one.checkpoints, one.known) for one in store.index("r", rebuild=True)] == [(3, 3)]
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "another"))
    (there,) = CheckpointStore(saved.storage).index()
    assert (there.known, there.where) == (3, f"{service.url}/r/.ckptkit/index.json")
    saved.save("r", 2, {"rng": random.Random(4)}, replace=True)
    assert [one.known for one in CheckpointStore(saved.storage).index()] == [2]


def test_a_short_run_is_read_once_too(
    service: Counting, saved: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each file is a request, few manifests are remembered as well, and none is asked what was shown of it."""
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    for step in range(2, 6):
        saved.save("r", step, {"rng": random.Random(step)})
    for reads in (5, 0):
        service.requests.clear()
        assert len(list(CheckpointStore(saved.storage).list("r"))) == 5
        pins = 1
        assert service.requests["read"] == reads + pins, service.requests
