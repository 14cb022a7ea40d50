"""What a trainer wrote since its folder was adopted is told: newer checkpoints, and those that it wrote over."""

import json
import os
from pathlib import Path

from command_line import inside
from foreign_files import half_hugging_face, hugging_face, safetensors


def adopted(run: Path, *steps: int) -> Path:
    for step in steps:
        hugging_face(run, step)
    assert inside("adopt", run).returncode == 0
    return run


def newer_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "no manifest" in line]


def test_resume_cmd_names_the_newer_checkpoints_that_have_no_manifest(tmp_path: Path) -> None:
    run = adopted(tmp_path / "run", 8, 12)
    for step in (4, 16, 20):
        hugging_face(run, step)
    done = inside("resume-cmd", ".", store=run)
    assert done.returncode == 0
    assert done.stdout.endswith("checkpoint-12\n")
    assert newer_lines(done.stderr) == [
        f"2 newer checkpoints have no manifest: checkpoint-16, checkpoint-20; `ckptkit adopt {run}` judges them, "
        "then resume again"
    ]
    told = json.loads(inside("resume-cmd", ".", "--format", "json", store=run).stdout)
    assert told["unlisted"] == [str(run / "checkpoint-16"), str(run / "checkpoint-20")]
    inside("adopt", run)
    done = inside("resume-cmd", ".", store=run)
    assert done.stdout.endswith("checkpoint-20\n")
    assert newer_lines(done.stderr) == []


def test_a_pointer_and_what_only_ends_in_a_number_are_no_newer_checkpoints(tmp_path: Path) -> None:
    run = adopted(tmp_path, 4)
    (run / "notes_2026.txt").write_text("mine")
    (run / "last.ckpt").symlink_to("checkpoint-4")
    safetensors(run / "final.safetensors")
    assert newer_lines(inside("resume-cmd", ".", store=run).stderr) == []


def test_files_of_no_known_trainer_are_newer_where_they_are_named_alike(tmp_path: Path) -> None:
    one = safetensors(tmp_path / "ep000050.safetensors")
    assert inside("adopt", one).returncode == 0
    safetensors(tmp_path / "ep000100.safetensors")
    safetensors(tmp_path / "other_900.safetensors")
    done = inside("resume-cmd", ".", "--template", "python t.py {path}", store=tmp_path)
    assert newer_lines(done.stderr)[0].startswith("1 newer checkpoint has no manifest: ep000100.safetensors; ")


def test_manifests_in_a_store_of_their_own_are_looked_up_where_the_trainer_writes(tmp_path: Path) -> None:
    run, store = tmp_path / "trained here", tmp_path / "store"
    hugging_face(run, 8)
    apart = ("--manifests", "store", "--run", "exp/a")
    assert inside("adopt", run, *apart, store=store).returncode == 0
    hugging_face(run, 16)
    done = inside("resume-cmd", "exp/a", store=store)
    (line,) = newer_lines(done.stderr)
    command = line.partition("`ckptkit ")[2].partition("` judges")[0]
    assert f"--store {store} adopt '{run}' --manifests store --run exp/a" in line
    assert command.endswith(" ".join(apart))
    assert inside("adopt", run, *apart, store=store).returncode == 0
    assert inside("resume-cmd", "exp/a", store=store).stdout.endswith("checkpoint-16'\n")


def test_the_plan_of_prune_says_what_it_does_not_count(tmp_path: Path) -> None:
    run = adopted(tmp_path / "run", 4, 8)
    half_hugging_face(run, 12)
    done = inside("prune", "--keep-last", "1", store=run)
    (line,) = newer_lines(done.stderr)
    assert line.startswith(".: not counted: 1 checkpoint has no manifest: checkpoint-12; `ckptkit adopt ")
    assert json.loads(inside("prune", "--keep-last", "1", "--format", "json", store=run).stdout)["notes"] == [line]
    assert inside("prune", "--keep-last", "1", "--apply", store=run).returncode == 0
    assert (run / "checkpoint-12").is_dir()


def test_where_nothing_verifies_what_nobody_judged_is_the_hint(tmp_path: Path) -> None:
    run = adopted(tmp_path, 4)
    os.truncate(run / "checkpoint-4/model.safetensors", 3)
    hugging_face(run, 8)
    done = inside("resume-cmd", ".", store=run)
    assert (done.returncode, done.stdout) == (4, "")
    assert "checkpoint-8: no manifest yet, `ckptkit adopt PATH` judges it" in done.stderr
