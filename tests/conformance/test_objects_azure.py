"""The laws of an object service, for Azure's Blob Storage, on Azurite."""

import pytest
from object_laws import ObjectLaws
from object_servers import Server

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestAzure(ObjectLaws):
    @pytest.fixture
    def objects(self, azure: Server) -> Objects:
        return open_objects(azure.place())
