"""The laws of a store, for a folder on a file system."""

from pathlib import Path

from ckptkit.storage import Storage, open_storage
from ckptkit.testing import StorageTests


class TestLocalStorage(StorageTests):
    def make_storage(self, tmp_path: Path) -> Storage:
        tmp_path.mkdir(parents=True)
        return open_storage(tmp_path)

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        file = Path(storage.url) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
