"""What a store asks of an object service for each command: requests are what costs time and money."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service_in_memory import ServiceInMemory

from ckptkit.manifest.names import MANIFEST_NAME
from ckptkit.storage.objects.member import with_place
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.storage.objects.service import Info
from ckptkit.testing.storage_hooks import RUN

PAGE = 1000


class Counting(ServiceInMemory):
    """Counts requests as a service bills them: a listing has a request for each thousand keys."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()
        for name in ("look", "read", "open", "write", "upload", "delete", "delete_only", "copy", "unfinished"):
            setattr(self, name, self._counted(name, getattr(self, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.requests[name] += 1
            return call(*args, **kwargs)

        return counted

    def below(self, prefix: str) -> Iterator[Info]:
        found = list(super().below(prefix))
        self.requests["list"] += 1 if len(found) <= PAGE else 0
        return self._paged(found) if len(found) > PAGE else iter(found)

    def _paged(self, found: list[Info]) -> Iterator[Info]:
        for number, info in enumerate(found):
            self.requests["list"] += number % PAGE == 0
            yield info


@pytest.fixture
def service() -> Counting:
    return Counting()


def test_ten_thousand_checkpoints_are_found_by_listing_alone(service: Counting) -> None:
    storage = ObjectStorage(service, outlives=False)
    for step in range(10_000):
        name = f"step-{step:08d}"
        data = with_place(b"{}", f"{name}.x")
        service.content[f"{RUN}/{name}/{MANIFEST_NAME}"] = (
            data,
            Info(f"{RUN}/{name}/{MANIFEST_NAME}", len(data), str(step), service.write("now", b"").modified),
        )
    service.requests.clear()
    assert len(list(storage.scan(RUN))) == 10_000
    assert service.requests == {"list": 20}
