"""A save, a prune or a copy on S3 that meets what networks do ends well, or fails in words and loses nothing."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_servers import Server
from s3_kill_scenarios import SCENARIOS
from s3_kills import Place
from troubled import Decide, Fault, Proxy, Seen

from ckptkit.errors import StoreError
from ckptkit.storage.objects.opening import open_objects
from ckptkit.storage.objects.retrying import Patience

FAULTS = {
    "an answer cut in half": Fault(truncate=True),
    "a bit flipped on the way": Fault(corrupt=True),
    "a delay": Fault(delay=0.1),
    "overloaded": Fault(status=503),
    "a cut connection": Fault(reset=True),
    "an answer that is lost": Fault(drop=True),
}
OPERATIONS = ["save", "save-replacing", "prune", "undelete", "purge", "copy", "pin-and-tag"]
QUICK = Patience(attempts=6, pause=0.01, longest=0.1, timeout=10.0)
EACH = 3
"""Of so many requests one meets the fault; all that is asked again passes sooner or later."""


@pytest.fixture
def proxy(s3: Server) -> Iterator[Proxy]:
    with Proxy(s3.port) as one:
        yield one


def meet(fault: Fault, phase: int, met: list[Seen]) -> Decide:
    """Return a decision of the proxy, for one request of some; damage is for what is written alone."""

    could = itertools.count()

    def decide(seen: Seen) -> Fault | None:
        if (fault.corrupt and not (seen.method == "PUT" and seen.size)) or next(could) % EACH != phase:
            return None
        met.append(seen)
        return fault

    return decide


def endure(
    name: str, fault: str, phase: int, proxy: Proxy, s3: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, here, met = SCENARIOS[name](), Place(s3.place(), folder), list[Seen]()
    scenario.prepare(here)
    proxy.decide = meet(FAULTS[fault], phase, met)
    with monkeypatch.context() as through:
        through.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.own}")
        through.setattr(open_objects, "__defaults__", (QUICK,))
        try:
            scenario.operate(here)
            failed = None
        except StoreError as error:
            failed = error
    assert met or (FAULTS[fault].corrupt and phase), "few requests write something"
    if failed is not None:
        assert FAULTS[fault].corrupt, f"what is asked again passes: {failed}"
        assert "arrived damaged" in failed.message
        assert failed.hint
    scenario.look(here)
    scenario.again(here)
    scenario.tidy(here)


@pytest.mark.matrix
@pytest.mark.parametrize("phase", range(EACH))
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_ends_well_or_in_words(
    name: str, fault: str, phase: int, proxy: Proxy, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endure(name, fault, phase, proxy, s3, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "fault"), [("save", "an answer that is lost"), ("prune", "overloaded"), ("copy", "a cut connection")]
)
def test_some_of_it(
    name: str, fault: str, proxy: Proxy, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endure(name, fault, 1, proxy, s3, tmp_path, monkeypatch)
