"""Lightning's files and those of ``torch.save``: what they tell, whole, cut and hostile. No framework is needed."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from looked_at import judged, told

NAME = "epoch=1-step=48.ckpt"
MONITORED = {
    "monitor": "val_loss",
    "current_score": 0.25,
    "best_model_score": 0.25,
    "best_k_models": {"/elsewhere/epoch=0-step=24.ckpt": 0.25, "/elsewhere/epoch=1-step=48.ckpt": 0.5},
}
CONTENT = {
    "epoch": 1,
    "global_step": 48,
    "pytorch-lightning_version": "2.6.6",
    "state_dict": {},
    "callbacks": {
        "ModelCheckpoint{'monitor': 'val_loss'}": MONITORED,
        "EarlyStopping": {"best_score": 1.0},
        "Odd": None,
    },
}


def torch_zip(path: Path, content: Any) -> Path:
    """Write what ``torch.save`` does of a value without tensors."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
    return path


def test_it_tells_step_epoch_and_its_own_score(tmp_path: Path) -> None:
    torch_zip(tmp_path / NAME, CONTENT)
    assert judged(tmp_path, NAME).state == "complete"
    one = told(tmp_path, NAME)
    assert (one.step, one.step_from, one.counters) == (48, "global_step in it", {"epoch": 1})
    assert (one.metrics, one.doubts) == ({"val_loss": 0.5}, ())


@pytest.mark.parametrize("place", ["config.yaml", "../config.yaml"])
@pytest.mark.parametrize("mark", ["# lightning.pytorch==2.6.6", "# pytorch_lightning==1.9.0"])
def test_settings_that_a_lightning_cli_left_are_told(tmp_path: Path, place: str, mark: str) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch_zip(folder / NAME, CONTENT)
    (folder / place).write_text(f"{mark}\nseed_everything: 0\n")
    assert told(folder, NAME).config == {"lightning_cli": place}


@pytest.mark.parametrize("content", ["seed_everything: 0\n", "", "# made by hand\n# lightning.pytorch==2.6.6\n"])
def test_settings_of_another_program_are_none_of_a_lightning_cli(tmp_path: Path, content: str) -> None:
    torch_zip(tmp_path / NAME, CONTENT)
    (tmp_path / "config.yaml").write_text(content)
    assert told(tmp_path, NAME).config == {}


def test_the_key_of_the_callback_tells_which_way_is_better(tmp_path: Path) -> None:
    key = "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min', 'every_n_train_steps': 0}"
    torch_zip(tmp_path / NAME, {**CONTENT, "callbacks": {key: MONITORED}})
    assert told(tmp_path, NAME).best == ("val_loss", "min")
    torch_zip(tmp_path / NAME, CONTENT)
    assert told(tmp_path, NAME).best is None, "no mode is in the key"


def test_last_has_the_score_of_its_step_not_the_newest_of_the_best(tmp_path: Path) -> None:
    torch_zip(tmp_path / "last.ckpt", CONTENT)
    assert told(tmp_path, "last.ckpt").metrics == {"val_loss": 0.5}
    torch_zip(tmp_path / "last.ckpt", {**CONTENT, "global_step": 72, "epoch": 2})
    assert told(tmp_path, "last.ckpt").metrics == {}


def test_a_link_is_read_where_it_leads_to_another_of_the_folder(tmp_path: Path) -> None:
    torch_zip(tmp_path / NAME, CONTENT)
    last = tmp_path / "last.ckpt"
    last.symlink_to(NAME)
    assert (judged(tmp_path, "last.ckpt").state, told(tmp_path, "last.ckpt").step) == ("complete", 48)
    last.unlink()
    last.symlink_to(tmp_path / NAME)
    assert told(tmp_path, "last.ckpt").step == 48


@pytest.mark.parametrize("target", ["gone.ckpt", "../outside.ckpt", "/outside.ckpt", "last.ckpt"])
def test_a_link_that_leads_nowhere_or_out_is_incomplete(tmp_path: Path, target: str) -> None:
    (tmp_path / "in").mkdir()
    torch_zip(tmp_path / "outside.ckpt", CONTENT)
    (tmp_path / "in" / "last.ckpt").symlink_to(target)
    assert judged(tmp_path / "in", "last.ckpt").state == "incomplete"
    assert told(tmp_path / "in", "last.ckpt").step is None


def test_names_of_another_step_and_epoch_are_doubts(tmp_path: Path) -> None:
    torch_zip(tmp_path / "epoch=2-step=72.ckpt", CONTENT)
    one = told(tmp_path, "epoch=2-step=72.ckpt")
    assert (one.step, one.doubts) == (
        48,
        ("global_step in it is 48, its name says 72", "epoch in it is 1, its name says 2"),
    )


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_cut_file_is_incomplete(tmp_path: Path, cut: int) -> None:
    whole = torch_zip(tmp_path / NAME, CONTENT).read_bytes()
    (tmp_path / NAME).write_bytes(whole[:cut])
    assert judged(tmp_path, NAME).state == "incomplete"
    one = told(tmp_path, NAME)
    assert (one.step, one.step_from, len(one.doubts)) == (48, "its name", 1)


@pytest.mark.parametrize(
    "content", [[], {"callbacks": 3}, {"callbacks": {"x": {"monitor": "a", "best_k_models": {1: 2}}}}]
)
def test_content_of_another_form_tells_no_metric(tmp_path: Path, content: Any) -> None:
    torch_zip(tmp_path / NAME, content)
    one = told(tmp_path, NAME)
    assert (one.step, one.metrics) == (48, {})
    assert one.doubts


@pytest.mark.parametrize(
    ("name", "content", "step", "place"),
    [
        ("x.pt", {"global_step": 7, "step": 8, "epoch": 1}, 7, "global_step in it"),
        ("x.pt", {"iteration": 9, "epoch": 1}, 9, "iteration in it"),
        ("model-step-40.pt", {"epoch": 1}, 40, "its name"),
        ("x_5.pt", {"epoch": 3}, 3, "epoch in it: no step is told"),
        ("x_5.pt", {"model": {}}, 5, "the number in its name, which may count something else"),
        ("x.pt", {"model": {}}, None, ""),
    ],
)
def test_a_torch_file_says_its_step_by_the_first_of_these(
    tmp_path: Path, name: str, content: Any, step: int | None, place: str
) -> None:
    torch_zip(tmp_path / name, content)
    one = told(tmp_path, name)
    assert (one.step, one.step_from, one.doubts) == (step, place, ())


def test_metrics_of_a_torch_file_are_those_that_its_keys_name(tmp_path: Path) -> None:
    content = {
        "epoch": 3,
        "loss": 0.5,
        "val_acc": 0.9,
        "best_acc": 0.95,
        "lr": 0.1,
        "metrics": {"mAP": 0.3},
        "acc": True,
    }
    torch_zip(tmp_path / "x.pt", content)
    assert told(tmp_path, "x.pt").metrics == {"loss": 0.5, "val_acc": 0.9, "mAP": 0.3}


def test_the_old_form_of_torch_has_no_end_to_be_judged_by(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"step": 1}))
    assert judged(tmp_path, "x.pt").state == "unknown"
    (tmp_path / "x.pt").write_bytes(b"")
    assert judged(tmp_path, "x.pt").reasons == ("x.pt is empty",)
