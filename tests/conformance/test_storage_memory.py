"""The laws of a store, for one in the memory of this process."""

from pathlib import Path

from ckptkit.storage import Storage
from ckptkit.testing import MemoryStorage, StorageTests


class TestMemoryStorage(StorageTests):
    def make_storage(self, tmp_path: Path) -> MemoryStorage:
        return MemoryStorage()

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        assert isinstance(storage, MemoryStorage)
        storage.objects.put({path: data})
