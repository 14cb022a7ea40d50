"""What `doctor --store URL` finds out about a service: by doing it, of which nothing stays."""

import threading
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from object_servers import Server

from ckptkit.health import Finding
from ckptkit.storage.objects import probing
from ckptkit.storage.objects.filesystem import FilesystemRequests
from ckptkit.storage.objects.memory import MemoryRequests
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.retrying import Patience
from ckptkit.storage.objects.service import Info, Objects, Only
from ckptkit.storage.objects.steady import SteadyObjects


def probed(objects: Objects) -> dict[str, Finding]:
    """Return what was found, by name, after a look that nothing stayed."""
    found = {finding.name: finding for finding in probing.examine(objects)}
    assert list(objects.below("")) == []
    return found


def can(found: dict[str, Finding]) -> dict[str, bool | None]:
    return {name: finding.details["can"] for name, finding in found.items() if "can" in finding.details}


ALL = dict.fromkeys(("create", "swap", "ranges", "checksums", "replace"), True)


@pytest.mark.parametrize(
    ("service", "lacks"),
    [
        ("s3", {}),
        pytest.param("azure", {"checksums": None}, marks=pytest.mark.matrix),
        # the emulator does not look, and has nothing for a moment while an object is written over
        pytest.param("gcs", {"checksums": False, "replace": ANY}, marks=pytest.mark.matrix),
        pytest.param("sftp", {"swap": False, "checksums": None}, marks=pytest.mark.matrix),
    ],
)
def test_each_service_is_found_to_do_what_it_does(
    service: str, lacks: dict[str, bool | None], request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(service)
    found = probed(open_objects(server.place()))
    assert can(found) == ALL | lacks
    assert found["writable"].state == found["clock"].state == "ok"
    assert all(
        finding.state == ("warning" if finding.details.get("can") is False else "ok") for finding in found.values()
    )


def test_a_store_in_memory_is_found_to_do_what_it_does() -> None:
    assert can(probed(open_objects(f"memory://{uuid.uuid4().hex}"))) == ALL | {"checksums": None}


def test_what_only_looks_before_it_writes_is_not_taken_for_more(tmp_path: Path) -> None:
    from fsspec.implementations.local import LocalFileSystem

    (tmp_path / "store").mkdir()
    system = LocalFileSystem(skip_instance_cache=True)
    found = probed(SteadyObjects(FilesystemRequests(system, str(tmp_path / "store"), "file://store")))
    assert can(found) == {"create": False, "swap": False, "ranges": True, "checksums": None, "replace": False}
    assert "the later one wins" in found["create"].message
    assert "one process at a time" in found["create"].remedy


class Lying(MemoryRequests):
    """Says that it can all, and heeds no condition."""

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        return super().write(key, data, None)


class LookingFirst(MemoryRequests):
    """Says that it can all, and looks before it writes: two at a time both find nothing."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._gate = threading.Barrier(2)

    def write(self, key: str, data: bytes, only: Only | None) -> Info:
        if only is not None:
            there = self._version(key)
            try:
                self._gate.wait(0.2)
            except threading.BrokenBarrierError:
                self._gate.reset()
            if there != only.version:
                return super().write(key, data, only)
        return super().write(key, data, None)


@pytest.mark.parametrize("kind", [Lying, LookingFirst])
def test_a_service_that_says_more_than_it_does_is_found_out(kind: Any) -> None:
    found = can(probed(SteadyObjects(kind(f"/{uuid.uuid4().hex}"), Patience(attempts=1))))
    assert found["create"] is False
    assert found["swap"] is False


def test_where_nothing_can_be_written_nothing_else_is_tried(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    (finding,) = probing.examine(open_objects(s3.place()))
    assert (finding.name, finding.state) == ("writable", "problem")
    assert "does not accept the credentials" in finding.message
