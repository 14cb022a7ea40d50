"""A store on an object service keeps every law of the storage kit."""

from pathlib import Path

from service_in_memory import ServiceInMemory, StoreFiles

from ckptkit.storage import Storage
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.testing import StorageTests


class TestObjectStorage(StorageTests):
    """On a service in memory, which no other process can open."""

    def make_storage(self, tmp_path: Path) -> Storage:
        return ObjectStorage(ServiceInMemory(), outlives=False)

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        assert isinstance(storage, ObjectStorage)
        StoreFiles(storage.objects).put({path: data})
