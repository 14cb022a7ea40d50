"""The policy example refuses what does not fit, and says what and why."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lerobot_example
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from lerobot_example import (
    DRAWN,
    EXAMPLE,
    ID,
    RUN,
    Train,
    as_older_trainer_left_it,
    keep_until,
    listed,
)

from ckptkit.errors import (
    BackendError,
    CkptkitError,
    ConflictError,
    DamagedError,
    NotFoundError,
    RefusedError,
    RunNameError,
    UsageError,
)

# pytest finds fixtures among the names of a module
code, here, program, train, whole = (
    getattr(lerobot_example, name) for name in ("code", "here", "program", "train", "whole")
)

# Bad input


def test_a_checkpoint_that_is_not_there_is_told_with_those_that_are(here: Path, train: Train) -> None:
    with pytest.raises(NotFoundError, match="checkpoint-45: is not there") as caught:
        train(resume_from_checkpoint=here / "checkpoint-45")
    assert "checkpoint-10, checkpoint-20" in caught.value.hint


def test_a_name_without_a_step_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(UsageError, match="its name does not give the step"):
        train(resume_from_checkpoint=(here / "checkpoint-40").rename(here / "newest"))


def test_a_checkpoint_under_another_number_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(DamagedError, match="says step 40, but its name 'checkpoint-41' says 41"):
        train(resume_from_checkpoint=keep_until(here, 40).rename(here / "checkpoint-41"))


@pytest.mark.parametrize("name", DRAWN)
def test_a_missing_file_is_named(here: Path, train: Train, name: str) -> None:
    (here / "checkpoint-50" / name).unlink()
    with pytest.raises(DamagedError, match=f"@50: {name}: is missing"):
        train(resume_from_checkpoint=here / "checkpoint-50")


def test_a_lost_manifest_makes_no_older_checkpoint(here: Path, train: Train) -> None:
    last = keep_until(here, 40)
    (last / "manifest.json").unlink()
    with pytest.raises(DamagedError, match="checkpoint-40: lost its manifest"):
        train(resume_from_checkpoint=last)


def test_a_checkpoint_of_another_configuration_is_refused_field_by_field(
    here: Path, program: Path, train: Train, tmp_path: Path
) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["policy"]["hidden"], config["seed"], config["save_every"] = 32, 1, 25
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RefusedError) as caught:
        train(resume_from_checkpoint=here / "checkpoint-50", config=tmp_path / "other.yaml")
    expected = "checkpoint-50: was trained with another configuration: policy.hidden: 16 in it, 32 here"
    assert caught.value.message == f"{expected}; seed: 42 in it, 1 here"
    with pytest.raises(RefusedError, match="another configuration: policy"):
        train(resume_from_checkpoint=here / "checkpoint-50", config=tmp_path / "other.yaml", change_config=True)


def test_another_learning_rate_is_refused_with_the_option_that_takes_it(
    here: Path, program: Path, train: Train, tmp_path: Path
) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["optimizer"]["learning_rate"] = 0.0001
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RefusedError, match="learning_rate") as caught:
        train(resume_from_checkpoint=here / "checkpoint-50", config=tmp_path / "other.yaml")
    assert caught.value.hint == "--change_config goes on at its step with the new values"


def test_a_change_of_nothing_that_can_be_gone_on_from_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(UsageError, match="--change_config needs a checkpoint"):
        train(change_config=True)


def test_fine_tuning_another_network_is_refused(here: Path, program: Path, train: Train, tmp_path: Path) -> None:
    config = yaml.safe_load((program / "config.yaml").read_text())
    config["policy"]["hidden"] = 32
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(BackendError, match=r"24 of another shape: 'time.weight'"):
        train(
            here.with_name("tuned"),
            resume_from_checkpoint=here / "checkpoint-50",
            fine_tune=True,
            config=tmp_path / "other.yaml",
        )


def test_another_dataset_is_refused_field_by_field(here: Path, program: Path, train: Train, tmp_path: Path) -> None:
    shutil.copytree(program / "data" / ID, tmp_path / "data" / ID)
    (info := tmp_path / "data" / ID / "meta" / "info.json").write_text(info.read_text().replace('"0:20"', '"0:19"'))
    with pytest.raises(
        RefusedError, match=r"dataset.episodes: 20 in it, 19 here; dataset.frames: 4000 in it, 3800 here"
    ):
        train(resume_from_checkpoint=here / "checkpoint-50", data_root=tmp_path / "data")


def test_a_new_run_does_not_start_over_an_old_one(here: Path, train: Train) -> None:
    with pytest.raises(ConflictError, match=f"{RUN}: has checkpoints already .steps 10, 20, 30, 40, 50."):
        train()


def test_going_back_behind_a_good_checkpoint_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(ConflictError, match=f"{RUN}: has newer checkpoints .steps 40, 50. than step 30") as caught:
        train(resume_from_checkpoint=here / "checkpoint-30")
    assert "--replace-newer" in caught.value.hint


def test_going_back_moves_the_newer_ones_to_the_trash_where_that_was_asked_for(here: Path, train: Train) -> None:
    expected = train(resume_from_checkpoint=here / "checkpoint-50")
    done = train(resume_from_checkpoint=here / "checkpoint-30", replace_newer=True)
    assert done["digest"] == expected["digest"]
    assert listed(here.parent) == [10, 20, 30, 40, 50]


def test_a_checkpoint_of_an_older_trainer_is_never_overwritten(here: Path, train: Train) -> None:
    as_older_trainer_left_it(here, 40)
    with pytest.raises(ConflictError, match="checkpoint-40: is there already, and has no manifest"):
        train()


def test_two_checkpoints_of_one_step_are_refused(here: Path, train: Train) -> None:
    shutil.copytree(here / "checkpoint-50", here / "a-copy-50")
    with pytest.raises(ConflictError, match="a-copy-50 claims the same step"):
        train(resume_from_checkpoint=here / "checkpoint-50")


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"fine_tune": True}, UsageError, "--fine_tune needs a checkpoint"),
        ({"steps": 0}, UsageError, "steps: Input should be greater than or equal to 1"),
        ({"dataset_id": "../elsewhere"}, UsageError, "dataset id '../elsewhere' is none"),
        ({"dataset_id": "a/b/c"}, UsageError, "dataset id 'a/b/c' is none"),
        ({"config": "nowhere.yaml"}, UsageError, "nowhere.yaml: cannot be read"),
        ({"output_dir": "out/.hidden"}, RunNameError, "'.hidden'"),
    ],
)
def test_absurd_calls_are_refused(
    here: Path, train: Train, more: dict[str, Any], kind: type[CkptkitError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        train(**{"output_dir": here.with_name("new"), **more})
    assert not here.with_name("new").exists()


def test_a_run_shorter_than_its_checkpoint_is_refused(here: Path, train: Train) -> None:
    with pytest.raises(UsageError, match=r"checkpoint-50 is beyond the end of the run \(40\)"):
        train(resume_from_checkpoint=here / "checkpoint-50", steps=40)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policy: {heads: 4}", r"policy.heads: Extra inputs are not permitted"),
        ("policy: {hidden: 0}", r"policy.hidden: Input should be greater"),
        ("- 1", "does not hold fields"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_configuration_names_the_field(code: SimpleNamespace, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        code.config.load_config(tmp_path / "config.yaml")


def test_the_configuration_file_shows_the_defaults(code: SimpleNamespace) -> None:
    assert code.config.load_config(EXAMPLE / "config.yaml") == code.config.Config()


def _no_info(root: Path) -> None:
    (root / "meta" / "info.json").unlink()


def _no_state(root: Path) -> None:
    path = root / "meta" / "info.json"
    path.write_text(path.read_text().replace('"observation.state"', '"observation.joints"'))


def _no_data(root: Path) -> None:
    next((root / "data").rglob("*.parquet")).unlink()


def _cut_data(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def _nan(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    table = pq.read_table(path)
    values = table.column("action").to_numpy().copy()
    values[7] = np.nan
    pq.write_table(table.set_column(table.schema.get_field_index("action"), "action", pa.array(values)), path)


def _lost_frame(root: Path) -> None:
    path = next((root / "data").rglob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.filter(np.arange(len(table)) != 5), path)


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (_no_info, NotFoundError, "is not a LeRobot dataset"),
        (_no_state, DamagedError, "features has no 'observation.state'"),
        (_no_data, DamagedError, r"file-000.parquet: is not there"),
        (_cut_data, DamagedError, r"file-000.parquet: cannot be read"),
        (_nan, DamagedError, "'action' holds NaN or infinity"),
        (_lost_frame, DamagedError, "episode 0 does not hold its 200 frames in order"),
    ],
)
def test_a_damaged_dataset_is_told_by_file(
    program: Path,
    code: SimpleNamespace,
    whole: str,
    tmp_path: Path,
    damage: Callable[[Path], None],
    kind: type[CkptkitError],
    message: str,
) -> None:
    shutil.copytree(program / "data" / ID, tmp_path / ID)
    damage(tmp_path / ID)
    with pytest.raises(kind, match=message):
        code.dataset.read_frames(code.dataset.resolve(ID, tmp_path, print))


def test_the_program_tells_an_error_in_two_lines(
    here: Path, code: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(here / "checkpoint-1")
    words = ["train.py", "--output_dir", str(here), "--dataset_id", ID, "--resume_from_checkpoint", path]
    monkeypatch.setattr(sys, "argv", words)
    assert code.train.main() == 4
    assert capsys.readouterr().err.startswith(f"error: {path}: is not there, or no folder\n  in {here}: checkpoint-10,")


def test_every_test_that_the_table_names_exists() -> None:
    folders = Path(__file__).parent, Path(__file__).parents[1] / "plugins"
    written = "".join(path.read_text() for folder in folders for path in folder.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (EXAMPLE / "COVERAGE.md").read_text())
    assert [name for name in named if f"def {name}(" not in written] == []
