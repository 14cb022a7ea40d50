"""The cost model of a store on S3: how many requests of each price a call makes, in a short run and in a long one.

``python -m benchmarks.requests`` counts the same of whole commands before a real server; docs/explanation/scale.md
reckons with it. Who changes a number here changes what users pay, and how long they wait.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from counted_service import Counting

from ckptkit import CheckpointStore, Files
from ckptkit.retention import RetentionPolicy
from ckptkit.storage.objects.object_storage import ObjectStorage

FILES = 2
PRICES = {
    "write": ["PUT"],
    "copy": ["PUT"],
    "list": ["LIST"],
    "unfinished": ["LIST"],
    "read": ["GET"],
    "look": ["HEAD"],
    "delete": ["DELETE"],
    "delete_only": ["HEAD", "DELETE"],  # S3 has no condition for it: a look comes before
    "open": [],  # its first block is a read
}


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call costs.

    Attributes:
        call: on a store that knows nothing yet, with a folder of two files, in a run of so many checkpoints.
        cost: PUT, LIST, GET, HEAD and DELETE.
        each: the same for each checkpoint of the run, in addition.
    """

    call: Callable[[CheckpointStore, Path, int], object]
    cost: tuple[int, int, int, int, int]
    each: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


def prune_two(store: CheckpointStore, folder: Path, count: int) -> None:
    store.prune(store.plan_prune(RetentionPolicy(keep_last=count - 2), run="r"))


BILLS = {
    "save": Bill(
        lambda store, folder, count: store.save("r", 1000, {"model": Files(folder, "files")}), (4, 5, 2, 9, 0)
    ),
    "list": Bill(lambda store, folder, count: list(store.list("r")), (0, 3, 1, 0, 0), (0, 0, 1, 0, 0)),
    "verify": Bill(lambda store, folder, count: store.verify("r@3"), (0, 6, 5, 5, 0)),
    "restore": Bill(lambda store, folder, count: store.restore("r", into={"model": None}), (0, 10, 5, 7, 0)),
    "resume": Bill(lambda store, folder, count: store.resume_command("r"), (0, 9, 5, 6, 0)),
    "pin": Bill(lambda store, folder, count: store.pin("r@3"), (2, 2, 1, 1, 1)),
    "prune": Bill(prune_two, (3, 14, 6, 12, 3), (0, 4, 5, 5, 0)),
}


def store_of(service: Counting) -> CheckpointStore:
    return CheckpointStore(ObjectStorage(service, outlives=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    for number in range(FILES):
        (place / f"{number}.bin").write_bytes(b"%d" % number * 100)
    return place


@pytest.mark.parametrize("count", [6, 14])
def test_a_call_costs_what_the_table_says(
    count: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    service = Counting()
    for step in range(count):
        store_of(service).save("r", step, {"model": Files(folder, "files")}, resume=["train"])
    content, found = dict(service.content), {}
    for name, bill in BILLS.items():
        monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / name))
        service.content = dict(content)
        service.requests.clear()
        bill.call(store_of(service), folder, count)
        paid = Counter(price for what, number in service.requests.items() for price in PRICES[what] * number)
        found[name] = tuple(paid[price] for price in ("PUT", "LIST", "GET", "HEAD", "DELETE"))
    assert found == {
        name: tuple(one + count * more for one, more in zip(bill.cost, bill.each, strict=True))
        for name, bill in BILLS.items()
    }


def test_a_call_of_one_checkpoint_costs_as_much_in_a_run_of_a_thousand_of_them_as_its_listing_has_pages(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level of a run, and the manifests in it, are a request for each thousand names: nothing else grows."""
    monkeypatch.setenv("CKPTKIT_CACHE", str(tmp_path / "cache"))
    service = Counting()
    store_of(service).save("r", 1, {"model": Files(folder, "files")})
    costs = []
    for more in (0, 3000):
        for step in range(100_000, 100_000 + more):
            service.write(f"r/step-{step:08d}/manifest.json", b"{}")
        service.requests.clear()
        store_of(service).verify("r@1")
        costs.append(dict(service.requests))
    short, long = costs
    assert long.pop("list") - short.pop("list") == 2 * 3
    assert long == short
