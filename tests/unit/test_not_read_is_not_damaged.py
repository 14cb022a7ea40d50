"""A service that fails while a checkpoint is read has not shown it to be damaged: nothing older is resumed from."""

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import pytest
from service_in_memory import ServiceInMemory

from ckptkit import CheckpointStore, NothingResumableError
from ckptkit.errors import StoreError
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.storage.objects.service import Info

RUN = "ppo/run1"


class Failing(ServiceInMemory):
    """Fails to read what is named, as one does that is overloaded for longer than anybody waits."""

    named = ""

    def read(self, key: str, start: int = 0, length: int | None = None) -> tuple[bytes, Info]:
        if self.named and self.named in key:
            raise StoreError(f"{self.url}/{key}: the service is overloaded or out of order", hint="try again later")
        return super().read(key, start, length)

    def open(self, key: str) -> BinaryIO:
        self.read(key, 0, 1)
        return super().open(key)


@pytest.fixture
def service() -> Failing:
    service = Failing()
    store = CheckpointStore(ObjectStorage(service), cache=False)
    for step in (1, 2):
        store.save(RUN, step, {"w": {"a": np.arange(5) + step}}, metrics={"loss": 1 / step})
    return service


@pytest.mark.parametrize("named", ["data/step-00000002.", "step-00000002/manifest.json"])
@pytest.mark.parametrize("ref", [RUN, f"{RUN}@latest", f"{RUN}@2"])
def test_what_could_not_be_read_is_trouble_and_nothing_older_is_taken(service: Failing, named: str, ref: str) -> None:
    service.named = named
    store = CheckpointStore(ObjectStorage(service), cache=False)
    asked: list[Callable[[], object]] = [lambda: store.choose(ref), lambda: store.restore(ref, into={"w": None})]
    for ask in asked:
        with pytest.raises(StoreError, match=r"step-00000002.*the service is overloaded") as told:
            ask()
        assert told.value.exit_code == 10
    service.named = ""
    assert store.choose(ref).at.step == 2


def test_what_was_read_and_is_damaged_is_gone_behind(service: Failing) -> None:
    for key in list(service.content):
        if "data/step-00000002." in key and key.rpartition("/")[0].endswith("/w"):
            service.write(key, b"damaged" + service.read(key)[0][7:])
    store = CheckpointStore(ObjectStorage(service), cache=False)
    assert store.choose(RUN).at.step == 1


def test_a_step_that_was_named_is_taken_whatever_could_not_be_read(service: Failing) -> None:
    service.named = "data/step-00000002."
    store = CheckpointStore(ObjectStorage(service), cache=False)
    assert store.choose(f"{RUN}@1").at.step == 1
    service.named = "data/step-"
    with pytest.raises((StoreError, NothingResumableError)) as told:
        store.choose(RUN)
    assert told.value.exit_code == 10
