"""The laws of an object service, for whatever fsspec opens: here, folders of this machine."""

from pathlib import Path

import pytest
from object_laws import ObjectLaws

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestAnyFileSystem(ObjectLaws):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        (tmp_path / "store").mkdir()
        return open_objects(f"file://{tmp_path}/store")
