"""The layouts know the names that the libraries themselves give, and ``list`` tells the steps in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import named_by_trainers
import pytest
from command_line import inside

from ckptkit.layouts import FOREIGN, Found, Listing, claimed


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written") / "all"
    command = [sys.executable, named_by_trainers.__file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return root


def found(folder: Path) -> dict[str, tuple[str, Found]]:
    """Return kind and facts of what is in a folder, by name."""
    folders = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    files = [entry.name for entry in os.scandir(folder) if not entry.is_dir()]
    listing = Listing(folders, files, lambda path: os.path.lexists(folder / path))
    return {one.name: (layout.kind, one) for layout, one in claimed(FOREIGN, listing)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "name", "kind", "number"),
    [
        ("hugging_face", "checkpoint-2", "hf_trainer", (2, None)),
        ("hugging_face/sharded", "checkpoint-2", "hf_trainer", (2, None)),
        ("accelerate", "checkpoint_1", "accelerate", (None, 1)),
        ("lightning", "epoch=1-step=4.ckpt", "lightning", (4, 1)),
        ("lightning", "epoch=1-step=4-v1.ckpt", "lightning", (4, 1)),
        ("lightning", "last.ckpt", "lightning", (None, None)),
        ("lightning", "last-v1.ckpt", "lightning", (None, None)),
        ("lightning", "mine_3.pt", "torch_file", (None, 3)),
        ("sb3/sac", "rl_model_6_steps.zip", "sb3_callback", (6, None)),
        ("dcp", "step-5", "dcp", (5, 5)),
        ("tensorflow", "ckpt-2.index", "tf_train", (None, 2)),
        ("tensorflow/backup", "latest.weights.h5", "keras", (None, None)),
    ],
)
def test_what_a_library_wrote_is_known_by_its_name(
    written: Path, folder: str, name: str, kind: str, number: tuple[int | None, int | None]
) -> None:
    told, one = found(written / folder)[name]
    assert (told, (one.step, one.count)) == (kind, number)
    assert one.marker is None or (written / folder / one.marker).is_file() or folder.endswith("sharded")


@pytest.mark.slow
def test_files_pointers_and_epochs_are_those_that_the_libraries_wrote(written: Path) -> None:
    assert sorted(found(written / "sb3/sac")["rl_model_6_steps.zip"][1].files) == sorted(
        os.listdir(written / "sb3/sac")
    )
    assert found(written / "lightning")["epoch=0-step=2.ckpt"][1].pointers == ("last-v1.ckpt", "last.ckpt")
    tensorflow = found(written / "tensorflow")
    assert tensorflow["ckpt-2.index"][1].pointers == ("checkpoint",)
    assert tensorflow["ckpt-2.index"][1].files == ("ckpt-2.index", "ckpt-2.data-00000-of-00001")
    assert sorted(one.count or 0 for kind, one in tensorflow.values() if kind == "keras") == [1, 2]


@pytest.mark.slow
def test_a_name_that_ends_in_a_version_is_told_with_its_step(written: Path) -> None:
    told = json.loads(inside("adopt", written / "lightning", "--dry-run", "--format", "json").stdout)["checkpoints"]
    assert [one["step"] for one in told if one["path"].endswith("-v1.ckpt") and "step=" in one["path"]] == [2, 4]
