"""A store on an object service keeps every law of the storage kit: in memory, and on real servers."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import past_the_store
import pytest
from object_servers import Server
from service_in_memory import ServiceInMemory

from ckptkit.storage import Storage, open_storage
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.testing import StorageTests


class ObjectStorageTests(StorageTests):
    """Strangers write where the payload lies."""

    def stranger_writes(self, storage: Storage, path: str, data: bytes) -> None:
        assert isinstance(storage, ObjectStorage)
        past_the_store.write(storage.objects, path, data)


class TestAllThatAServiceCanHave(ObjectStorageTests):
    def make_storage(self, tmp_path: Path) -> Storage:
        return ObjectStorage(ServiceInMemory(), outlives=False)


class TestMemory(ObjectStorageTests):
    def make_storage(self, tmp_path: Path) -> Storage:
        return open_storage(f"memory://{uuid.uuid4().hex}")


class OnAServer(ObjectStorageTests):
    """A waiting thread waits for the network as well."""

    patience = 1.0
    server: Server

    def make_storage(self, tmp_path: Path) -> Storage:
        return open_storage(self.server.place())


class TestS3(OnAServer):
    @pytest.fixture(autouse=True)
    def _server(self, s3: Server) -> None:
        self.server = s3


@pytest.mark.matrix
class TestAzure(OnAServer):
    @pytest.fixture(autouse=True)
    def _server(self, azure: Server) -> None:
        self.server = azure


@pytest.mark.matrix
class TestGcs(OnAServer):
    skips: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "test_who_reads_a_state_while_it_is_replaced_sees_the_old_or_the_new",
            "test_who_reads_while_it_is_replaced_sees_the_old_or_the_new",
            "test_while_one_replaces_another_one_of_them_is_there",
        ),
        "fake-gcs-server has nothing for a moment while an object is written over; GCS has the old or the new one",
    )

    @pytest.fixture(autouse=True)
    def _server(self, gcs: Server) -> None:
        self.server = gcs


@pytest.mark.matrix
class TestSftp(OnAServer):
    @pytest.fixture(autouse=True)
    def _server(self, sftp: Server) -> None:
        self.server = sftp
