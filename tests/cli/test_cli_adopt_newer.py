"""What a trainer wrote since its folder was adopted is told: newer checkpoints, and those that it wrote over."""

import json
import os
import time
from pathlib import Path

from command_line import inside
from foreign_files import half_hugging_face, hugging_face, safetensors, torch_like


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


def write_again(run: Path, step: int, **logged: float) -> None:
    """Do what a Trainer does that was resumed from an earlier step."""
    folder = hugging_face(run, step, **logged)
    for path in folder.iterdir():
        os.utime(path, (time.time() + 2, time.time() + 2))


def test_what_its_trainer_wrote_over_is_told_as_that_and_is_not_resumed_from(tmp_path: Path) -> None:
    run = adopted(tmp_path, 4, 8)
    write_again(run, 8, loss=0.25)
    told = "checkpoint-8/trainer_state.json: was written after it was adopted; `ckptkit adopt PATH` judges it anew"
    done = inside("verify", "--format", "json", store=run)
    problems = [problem for one in json.loads(done.stdout)["checkpoints"] for problem in one["problems"]]
    assert (done.returncode, [problem["code"] for problem in problems]) == (1, ["file-rewritten"])
    done = inside("resume-cmd", ".", store=run)
    assert f"skipped .@8: {told}" in done.stderr
    assert done.stdout.endswith("checkpoint-4\n")
    assert inside("adopt", run).returncode == 0
    assert inside("resume-cmd", ".", store=run).stdout.endswith("checkpoint-8\n")


def test_prune_keeps_what_was_written_over_and_promises_nothing_else(tmp_path: Path) -> None:
    run = adopted(tmp_path, 4, 8, 12)
    write_again(run, 4, loss=0.25)
    done = inside("prune", "--keep-last", "2", "--apply", "--format", "json", store=run)
    first = json.loads(done.stdout)["checkpoints"][0]
    assert (done.returncode, first["action"], first["good"]) == (0, "keep", False)
    assert "was written after it was adopted; `ckptkit adopt PATH` judges it anew" in first["reasons"][0]
    assert "removed 0 (0 B) to the trash" in done.stderr


def test_what_could_not_be_removed_is_not_in_the_sum(tmp_path: Path) -> None:
    run = adopted(tmp_path, 4, 8)
    (run / "checkpoint-4/thesis.txt").write_text("mine")
    done = inside("prune", "--keep-last", "1", "--level", "presence", "--apply", store=run)
    assert done.returncode == 3
    assert "removed 0 (0 B) to the trash" in done.stderr


def flip(path: Path) -> None:
    """Change one bit within the content of a member."""
    data = bytearray(path.read_bytes())
    data[data.index(b"little")] ^= 1
    path.write_bytes(data)


def test_a_file_whose_bytes_changed_and_not_its_time_is_never_taken_for_a_new_one(tmp_path: Path) -> None:
    file = safetensors(tmp_path / "ep000050.safetensors")  # it has no checksum of its own
    assert inside("adopt", file).returncode == 0
    before, old = file.stat(), (tmp_path / "ep000050.safetensors@50.manifest.json").read_bytes()
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = inside("adopt", file)
    assert done.returncode == 1, done.stdout
    assert "it was changed, not written again" in done.stdout
    assert (tmp_path / "ep000050.safetensors@50.manifest.json").read_bytes() == old
    assert inside("verify", store=tmp_path).returncode == 1


def test_a_zip_with_a_flipped_bit_is_not_whole_by_its_own_checksums(tmp_path: Path) -> None:
    file = torch_like(tmp_path / "model.pt")
    assert inside("adopt", file).returncode == 0
    flip(file)
    os.utime(file, (time.time() + 2, time.time() + 2))
    done = inside("adopt", tmp_path)
    assert done.returncode == 1, done.stdout
    assert inside("resume-cmd", ".", store=tmp_path).returncode == 4
