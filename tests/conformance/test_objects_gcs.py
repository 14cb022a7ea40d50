"""The laws of an object service, for Google Cloud Storage, on fake-gcs-server."""

import pytest
from object_laws import ObjectLaws
from object_servers import Server

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestGcs(ObjectLaws):
    @pytest.fixture
    def objects(self, gcs: Server) -> Objects:
        return open_objects(gcs.place())
