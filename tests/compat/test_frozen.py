"""What any version of ckptkit has ever written stays listed, verified and loadable."""

import shutil
import subprocess
import sys
from pathlib import Path

import four_kinds
import numpy as np
import pytest
import torch
from ckptkit_safetensors import Policy

from ckptkit import CheckpointStore

ROOT = Path(__file__).parents[2]
FROZEN = sorted((Path(__file__).parent / "frozen").iterdir())


@pytest.fixture(params=FROZEN, ids=lambda path: path.name)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "store"))


def test_something_is_frozen() -> None:
    assert [path.name for path in FROZEN][:1] == ["v1"]


def test_it_is_listed(frozen: Path) -> None:
    found = [one for one in CheckpointStore(frozen).list() if one.at.run != "trained"]
    assert [(one.at.ref, one.problem) for one in found] == [("flat@50", None), (f"{four_kinds.RUN}@10", None)]
    assert (found[1].pinned, found[1].tags) == (True, ("frozen",))


def test_it_verifies_and_all_four_kinds_are_checked(frozen: Path) -> None:
    report = CheckpointStore(frozen).verify()
    assert [list(one.problems) for one in report.checkpoints] == [[] for _ in report.checkpoints]
    assert report.exit_code == 0
    manifest = report.checkpoints[1].manifest
    assert manifest is not None
    assert {name: item.backend for name, item in manifest.items.items()} == four_kinds.ITEMS


def test_generators_and_weights_still_load(frozen: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    policy = Policy(model, torch.optim.AdamW(model.parameters(), lr=1.0), preprocessor={}, postprocessor={})
    generator = np.random.default_rng(123)
    store = CheckpointStore(frozen)
    restored = store.restore(four_kinds.RUN, into={"rng": generator, "policy": policy})
    assert restored is not None
    expected = np.random.default_rng(1)
    expected.normal()
    assert generator.normal() == expected.normal()
    assert policy.optimizer.param_groups[0]["lr"] == 1e-2
    assert policy.preprocessor == {"mean": [0.5]}
    flat = store.restore("flat", into={"weights": None})
    assert flat is not None
    assert flat.metrics == {"reward": float("inf")}


@pytest.mark.parametrize("adopted", [path for path in FROZEN if path.name not in ("v1", "v1.1")], ids=lambda p: p.name)
def test_what_its_trainer_wrote_is_still_a_checkpoint_where_it_lies(adopted: Path, tmp_path: Path) -> None:
    frozen = Path(shutil.copytree(adopted, tmp_path / "store"))
    store = CheckpointStore(frozen)
    (one,) = store.list("trained")
    assert (one.at.ref, one.at.name, one.problem) == ("trained@4", "checkpoint-4@4", None)
    described = store.describe("trained@4").manifest
    assert (described.trainer, described.metrics, described.grade) == ("hf_trainer", {"loss": 0.5}, "partial")
    command = store.resume_command("trained")
    assert command.argv[-1] == str(frozen / "trained" / "checkpoint-4")
    store.copy_out("trained@4", frozen.parent / "out")
    assert (frozen.parent / "out" / "checkpoint-4" / "trainer_state.json").is_file()


def test_a_flipped_bit_in_it_is_found(frozen: Path) -> None:
    path = frozen / four_kinds.RUN / "step-00000010" / "policy" / "policy.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert CheckpointStore(frozen).verify().exit_code == 1


def test_the_frozen_files_are_small() -> None:
    for store in FROZEN:
        assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) < 300_000


def test_the_published_schema_is_current() -> None:
    command = [sys.executable, "-m", "ckptkit.manifest.schema"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (ROOT / "docs" / "reference" / "manifest.schema.json").read_text() == done.stdout, (
        "run: python -m ckptkit.manifest.schema > docs/reference/manifest.schema.json"
    )
