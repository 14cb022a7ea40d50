"""Run tests of the store against one in memory: ``CKPTKIT_TEST_STORAGE=memory pytest tests/integration/...``.

``memory`` is the ``MemoryStorage`` of the kit, ``objects`` a store on an object service. A path that a test opens then
names a store in the memory of this process, the same one whenever it is opened. What
others do to its files, past the store, a test does through ``in_store``; what it needs a disk for, it says:
``@pytest.mark.on_disk("why")``.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from service_in_memory import ServiceInMemory, StoreFiles

from ckptkit.storage import Storage
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.store import browser, copier, selecting
from ckptkit.testing import MemoryStorage
from ckptkit.testing.memory_objects import Objects

VARIABLE = "CKPTKIT_TEST_STORAGE"
KIND = os.environ.get(VARIABLE, "")
WANTED = KIND in ("memory", "objects")
_opened: dict[str, MemoryStorage | ObjectStorage] = {}


@pytest.fixture(autouse=WANTED)
def _stores_in_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Open stores in memory, each by its absolute path, until the test ends."""
    if (mark := request.node.get_closest_marker("on_disk")) is not None:
        pytest.skip(f"on disk: {mark.args[0]}")
    for room in (browser, copier, selecting):
        monkeypatch.setattr(room, "open_storage", _open)
    yield
    _opened.clear()


def _open(url: str | Path) -> Storage:
    path = os.path.realpath(Path(url).expanduser())
    if path not in _opened:
        _opened[path] = (
            MemoryStorage(path) if KIND == "memory" else ObjectStorage(ServiceInMemory(path), outlives=False)
        )
    return _opened[path]


def in_store(path: Path | str) -> "Path | MemoryPath":
    """Return a file or folder of a store to be changed as others do, past the store: on disk, the path itself."""
    if not WANTED:
        return Path(path)
    place = PurePosixPath(os.path.abspath(path))
    root = next((one for one in (place, *place.parents) if str(one) in _opened), None)
    assert root is not None, f"{path}: no store was opened there"
    return MemoryPath(_opened[str(root)], place.relative_to(root))


class MemoryPath:
    """The part of ``pathlib.Path`` that these tests use, for the keys of a store in memory."""

    def __init__(self, storage: MemoryStorage | ObjectStorage, path: PurePosixPath) -> None:
        self._storage, self._path = storage, path
        self._objects: Objects | StoreFiles = (
            storage.objects if isinstance(storage, MemoryStorage) else StoreFiles(storage.objects)
        )

    def __truediv__(self, name: str) -> "MemoryPath":
        return MemoryPath(self._storage, self._path / name)

    def __str__(self) -> str:
        return f"{self._storage.url}/{self._path}"

    @property
    def name(self) -> str:
        return self._path.name

    def read_bytes(self) -> bytes:
        found = self._objects.get(str(self._path))
        assert found is not None, f"{self} is not there"
        return found.data

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        self._objects.put({str(self._path): data})

    def write_text(self, text: str) -> None:
        self.write_bytes(text.encode())

    def touch(self) -> None:
        self.write_bytes(b"")

    def exists(self) -> bool:
        return self._objects.has(str(self._path))

    def iterdir(self) -> "Iterator[MemoryPath]":
        listing = self._objects.listing(f"{self._path}/")
        return (self / name for name in [*listing.folders, *listing.files])

    def glob(self, pattern: str) -> "Iterator[MemoryPath]":
        return (path for path in self.iterdir() if PurePosixPath(path.name).match(pattern))

    def rename(self, target: "MemoryPath") -> None:
        source = f"{self._path}/"
        self._objects.move(self._objects.below(source), source, f"{target._path}/")

    def unlink(self) -> None:
        self.read_bytes()
        self._objects.drop(str(self._path))

    @property
    def parent(self) -> "MemoryPath":
        return MemoryPath(self._storage, self._path.parent)

    def with_name(self, name: str) -> "MemoryPath":
        return MemoryPath(self._storage, self._path.with_name(name))
