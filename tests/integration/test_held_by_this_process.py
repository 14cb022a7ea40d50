"""A run that this process holds is no stranger's to another store that it opens: a notebook trains again."""

import uuid

import pytest
from service_in_memory import ServiceInMemory

from ckptkit.storage import Storage, open_storage
from ckptkit.storage.objects.object_storage import ObjectStorage


@pytest.fixture(params=["folder", "service"])
def stores(request: pytest.FixtureRequest, tmp_path: object) -> list[Storage]:
    if request.param == "folder":
        return [open_storage(str(tmp_path)) for _ in range(2)]
    service = ServiceInMemory(f"test://{uuid.uuid4().hex}")
    return [ObjectStorage(service) for _ in range(2)]


def test_a_second_store_of_this_process_holds_it_too(stores: list[Storage]) -> None:
    first, second = stores
    first.hold("a/run")
    second.hold("a/run")
    first.release("a/run")
    second.hold("a/run")
    second.release("a/run")
