"""torchdata's StatefulDataLoader: its own state is stored; exact but for what workers draw."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ckptkit_torchdata import ResumableLoader
from test_torchdata_exact_resume import KINDS, SAVES, Points, Run, resumed, saved

from ckptkit import CheckpointStore

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


def make_data(kind: str, augmented: bool, *, random_items: bool = True, **options: Any) -> ResumableLoader:
    from torchdata.stateful_dataloader import StatefulDataLoader

    def make() -> Any:
        return StatefulDataLoader(Points(augmented), 4, shuffle=True, num_workers=KINDS[kind][0], **options)

    return ResumableLoader(make, random_items=random_items)


@pytest.mark.parametrize("when", list(SAVES))
@pytest.mark.parametrize(
    ("kind", "augmented", "own"),
    [("w=0", True, False), ("w=0", True, True), ("w=2", False, True)],
    ids=["w=0 augmented", "w=0 augmented, own generator", "w=2, own generator"],
)
def test_a_run_over_it_ends_as_the_uninterrupted_one(
    tmp_path: Path, kind: str, augmented: bool, when: str, own: bool
) -> None:
    def data(seed: int) -> ResumableLoader:
        torch.manual_seed(seed)  # its sampler takes a seed when it is built, from the global generator
        generator = {"generator": torch.Generator().manual_seed(seed)} if own else {}
        return make_data(kind, augmented, random_items=augmented, **generator)

    store = CheckpointStore(tmp_path / "store")
    expected = saved(store, Run(0, data(1)), SAVES[when])
    assert kind != "w=0" or Run(0, data(1)).finish() == expected
    assert resumed(store, Run(1, data(2))) == expected
    entry = store.choose("run").manifest.items["data"]
    assert entry.captured.grade == "complete"
    assert {file.path for file in entry.files} <= {"data/loader.json", "data/state.pth"}


def test_with_workers_and_random_items_the_order_goes_on_and_the_grade_says_the_rest(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store")
    live = make_data("w=2", True)
    torch.manual_seed(0)
    expected = saved(store, Run(0, live), SAVES["inside an epoch"])
    assert resumed(store, Run(1, make_data("w=2", True))) != expected
    captured = store.choose("run").manifest.items["data"].captured
    assert captured.grade == "partial"
    assert "order goes on exactly" in str(captured.reasons)


def test_its_state_loads_with_weights_only(tmp_path: Path) -> None:
    data = make_data("w=0", False)
    next(data)
    at = CheckpointStore(tmp_path / "store").save("run", 1, {"data": data})
    state = torch.load(at.path / "data" / "state.pth", weights_only=True)
    assert state["loader"]["_num_yielded"] == 1
