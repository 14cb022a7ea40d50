"""What is missing and what may make a resume differ is said where a person decides: at save, in show, at resume-cmd."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from command_line import inside as ckptkit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``out/checkpoint-8`` of a Trainer that keeps only models, with ``out/checkpoint-4`` as the best."""
    place = tmp_path / "out" / "checkpoint-8"
    place.mkdir(parents=True)
    safetensors.numpy.save_file({"w": np.ones(2)}, place / "model.safetensors")
    name_best(place, str(tmp_path / "out" / "checkpoint-4"))
    (tmp_path / "out" / "checkpoint-4").mkdir()
    return place


def name_best(folder: Path, best: str) -> None:
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8, "best_model_checkpoint": best}))


def save(folder: Path, store: Path, *more: str) -> list[str]:
    words = ("save", "hf/run1", "--step", "8", f"model={folder}", "--resume", "python train.py {path}", *more)
    done = ckptkit(*words, store=store)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


LACKS = [
    "item 'model' is partial: no optimizer (optimizer.pt or optimizer.bin): "
    "the Trainer begins with a new optimizer, silently",
    "item 'model' is partial: no scheduler (scheduler.pt): the Trainer then loads no optimizer state either, silently",
    "item 'model' is partial: no random generators (rng_state.pth or rng_state_*.pth): "
    "dropout and shuffling draw different numbers",
]


def test_save_and_resume_cmd_say_each_missing_piece_on_a_line(folder: Path, tmp_path: Path) -> None:
    said = save(folder, tmp_path / "store")
    assert [line for line in said if " is partial: " in line] == LACKS
    done = ckptkit("resume-cmd", "hf/run1", store=tmp_path / "store")
    assert [line for line in done.stderr.splitlines() if " is partial: " in line] == LACKS
    assert done.stdout.startswith(f"cd {shlex.quote(str(Path.cwd()))} && python train.py ")
    assert len(done.stdout.splitlines()) == 1


def test_a_folder_that_was_not_finished_is_refused_with_all_that_is_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "trainer_state.json").unlink()
    (folder / "optimizer.pt").write_bytes(b"")
    done = ckptkit("save", "hf/run1", "--step", "8", f"model={folder}", store=tmp_path / "store")
    assert done.returncode == 1
    assert "no trainer state (trainer_state.json): the Trainer cannot resume" in done.stderr
    assert "(also missing: scheduler, random generators)" in done.stderr


def test_a_missing_best_checkpoint_is_said_at_save_in_show_and_before_the_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "checkpoint-4").rmdir()
    words = f"names the best checkpoint '{tmp_path}/out/checkpoint-4', which does not exist"
    store = tmp_path / "store"
    assert sum(words in line for line in save(folder, store)) == 1
    assert sum(words in line for line in ckptkit("show", "hf/run1", store=store).stdout.splitlines()) == 1
    assert sum(words in line for line in ckptkit("resume-cmd", "hf/run1", store=store).stderr.splitlines()) == 1


def test_a_best_checkpoint_that_is_removed_after_the_save_is_said_before_the_command(
    folder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert not any("best checkpoint" in line for line in save(folder, store))
    assert "best checkpoint" not in ckptkit("resume-cmd", "hf/run1", store=store).stderr
    (tmp_path / "out" / "checkpoint-4").rmdir()
    done = ckptkit("resume-cmd", "hf/run1", store=store)
    assert done.returncode == 0
    assert "item 'model': warning: model/trainer_state.json: names the best checkpoint" in done.stderr
    assert "best-checkpoint-missing" in ckptkit("verify", "hf/run1", "--format", "json", store=store).stdout


def test_what_is_said_cannot_steer_a_terminal_nor_show_a_secret(folder: Path, tmp_path: Path) -> None:
    name_best(folder, "https://me:hunter2@host/\x1b[2Jbest")
    said = save(folder, tmp_path / "store")
    assert any("does not exist" in line for line in said)
    assert not any("\x1b" in line or "hunter2" in line for line in said)
    assert "hunter2" not in ckptkit("show", "hf/run1", store=tmp_path / "store").stdout


def test_quiet_says_nothing(folder: Path, tmp_path: Path) -> None:
    done = ckptkit("--quiet", "save", "hf/run1", "--step", "8", f"model={folder}", store=tmp_path / "store")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_whole_command_is_printed_for_a_checkpoint_that_was_copied_away(folder: Path, tmp_path: Path) -> None:
    save(folder, tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "out")
    done = ckptkit("resume-cmd", "hf/run1", store=tmp_path / "elsewhere")
    assert done.stdout.startswith(f"cd {shlex.quote(str(Path.cwd()))} && python train.py ")
    assert "which does not exist" in done.stderr
