"""The laws of an object service, for the memory of this process."""

import uuid

import pytest
from object_laws import ObjectLaws

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestMemory(ObjectLaws):
    @pytest.fixture
    def objects(self) -> Objects:
        return open_objects(f"memory://{uuid.uuid4().hex}")
