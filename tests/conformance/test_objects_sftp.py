"""The laws of an object service, for a server over SFTP: OpenSSH."""

import pytest
from object_laws import ObjectLaws
from object_servers import Server

from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.service import Objects


class TestSftp(ObjectLaws):
    @pytest.fixture
    def objects(self, sftp: Server) -> Objects:
        return open_objects(sftp.place())
