"""Policies and generators that any format of their backends wrote are put back."""

import shutil
from pathlib import Path

import freeze_torch
import pytest
import torch
from ckptkit_numpy import GlobalRng

from ckptkit import CheckpointStore

FROZEN = sorted((Path(__file__).parent / "frozen_torch").iterdir())


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.name)
def test_all_that_format_2_has_is_put_back(frozen: Path, tmp_path: Path) -> None:
    store = CheckpointStore(shutil.copytree(frozen, tmp_path / "store"))
    assert store.verify().exit_code == 0
    live, target, named = freeze_torch.policy(1), freeze_torch.policy(2), freeze_torch.generators(2)
    freeze_torch.train(live)
    with GlobalRng():
        store.restore("run", into={"policy": target, "rng": GlobalRng(ours=named)})
        drawn = named["tuple"][0].normal(), named["tuple"][1][0].normal()  # type: ignore[index]
    expected = freeze_torch.generators(1)
    assert drawn == (expected["tuple"][0].normal(), expected["tuple"][1][0].normal())  # type: ignore[index]
    model, old = target.model, live.model
    assert torch.equal(torch.rand(3, generator=model.noise), torch.rand(3, generator=old.noise))
    assert (model.drift.tolist(), model.hidden.tolist(), model.seen) == (
        [1] * 3,
        [1, 1],
        {"calls": 7, "last": (8, [9.5])},
    )
    assert (model[2].p, model[1].training, model[2].training) == (0.25, False, True)
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in old.parameters()]
    assert [group["lr"] for group in target.optimizer.param_groups] == [0.1, 0.01]
    assert torch.equal(model[3].weight, old[3].weight)
