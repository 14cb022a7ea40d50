"""Whatever request of a copy is the last one that an object service sees, each store holds whole checkpoints only."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_in_memory import ServiceInMemory, Stopped, StoppingService

from ckptkit import CheckpointStore, CkptkitError, StoreError
from ckptkit.storage import Storage
from ckptkit.storage.objects.object_storage import ObjectStorage
from ckptkit.testing import MemoryStorage

DAMAGED = 2


def opened(service: ServiceInMemory) -> ObjectStorage:
    return ObjectStorage(service, outlives=False)


def good(storage: Storage) -> dict[int | None, bool]:
    return {one.at.step: one.good for one in CheckpointStore(storage, cache=False).verify().checkpoints}


def there_before(source: CheckpointStore) -> ServiceInMemory:
    """Return a service that has the second checkpoint, damaged: a good copy takes its place."""
    service = ServiceInMemory()
    source.copy_to(opened(service), f"r@{DAMAGED}")
    key = next(key for key in service.content if key.endswith("rng.json"))
    data, info = service.content[key]
    service.content[key] = (data[:-1] + b"?", info)
    return service


def die(service: ServiceInMemory) -> None:
    """Take away the leases of what was stopped: its process, which is this one, would be dead."""
    for key in [key for key in service.content if "/leases/" in key]:
        del service.content[key]


class Silent(ServiceInMemory):
    """Answers so many times, and then no more.

    Args:
        of: whose objects these are.
        times: how often it answers.
        error: makes what is raised then.
    """

    def __init__(self, of: ServiceInMemory, times: int, error: Callable[[], BaseException]) -> None:
        super().__init__(of.url)
        self.content, self._left, self._error, self.stopped = of.content, times, error, False
        for name in ("look", "level", "below", "read", "open"):
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **how: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self.stopped = True
                raise self._error()
            return ask(*args, **how)

        return asked


@pytest.fixture
def source() -> CheckpointStore:
    store = CheckpointStore(MemoryStorage(), cache=False)
    for step in (1, DAMAGED, 3):
        store.save("r", step, {"rng": np.random.default_rng(step)}, tags=["kept"])
    store.pin("r@3")
    return store


def unreachable() -> StoreError:
    return StoreError("the service does not answer")


@pytest.mark.parametrize("error", [Stopped, unreachable])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_what_is_copied_is_whole_and_the_next_copy_does_the_rest(
    source: CheckpointStore, done: bool, error: Callable[[], BaseException]
) -> None:
    points = 0
    while True:
        service = there_before(source)
        stopping = StoppingService(service, points + 1, done=done, error=error)
        with contextlib.suppress(Stopped, CkptkitError):
            source.copy_to(opened(stopping))
        if not stopping.stopped:
            break
        points += 1
        die(service)
        left = good(opened(service))
        assert all(whole or step == DAMAGED for step, whole in left.items()), (points, left)
        assert DAMAGED in left, points
        assert source.copy_to(opened(service)).exit_code == 0, points
        assert good(opened(service)) == {1: True, 2: True, 3: True}, points
        again = CheckpointStore(opened(service), cache=False)
        assert [(one.pinned, one.tags) for one in again.list("r")] == [
            (False, ("kept",)), (False, ("kept",)), (True, ("kept",))
        ]  # fmt: skip
    assert points >= 12


@pytest.mark.parametrize("error", [Stopped, unreachable])
def test_a_source_that_stops_answering_leaves_whole_copies(
    source: CheckpointStore, tmp_path: Path, error: Callable[[], BaseException]
) -> None:
    service = ServiceInMemory()
    source.copy_to(opened(service))
    points = 0
    while True:
        there = tmp_path / f"there-{points}"
        stopping = Silent(service, points, error)
        with contextlib.suppress(Stopped, CkptkitError):
            CheckpointStore(opened(stopping), cache=False).copy_to(there)
        if not stopping.stopped:
            break
        points += 1
        if there.exists():
            assert all(good(CheckpointStore(there).storage).values()), points
        assert CheckpointStore(opened(service), cache=False).copy_to(there).exit_code == 0, points
    assert points > 10
