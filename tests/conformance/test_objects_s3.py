"""The laws of an object service, for S3, on SeaweedFS."""

import pytest
from object_laws import ObjectLaws
from object_servers import Server

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestS3(ObjectLaws):
    @pytest.fixture
    def objects(self, s3: Server) -> Objects:
        return open_objects(s3.place())
