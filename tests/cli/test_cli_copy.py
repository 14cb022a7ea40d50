"""`ckptkit copy`, and the mirror that ckptkit.yaml names: what is printed, and with which exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import inside, refused

from ckptkit import CheckpointStore


def save(cwd: Path, step: int, *words: str, **how: Any) -> Any:
    path = cwd / f"given-{step}" / "notes.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"step {step}")
    return inside("save", "r", "--step", str(step), f"notes:files={path.parent}", *words, cwd=cwd, **how)


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    for step in (1, 2):
        assert save(tmp_path, step).returncode == 0
    return tmp_path


def steps(folder: Path) -> list[int | None]:
    return [at.step for at in CheckpointStore(folder).locate()]


def flip(folder: Path, step: int) -> None:
    (folder / "r" / f"step-{step:08d}" / "notes" / "notes.txt").write_text(f"STEP {step}")


def test_a_copy_says_what_it_did_and_a_second_one_that_it_is_there(cwd: Path) -> None:
    done = inside("copy", "checkpoints", "there", cwd=cwd)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines == [["ACTION", "CHECKPOINT", "SIZE", "REASON"], ["copied", "r@1", "6", ""], ["copied", "r@2", "6", ""]]
    assert done.stderr == "copied 2 checkpoints (12 B)\n"
    again = inside("copy", "checkpoints", "there", cwd=cwd)
    assert again.stderr == "copied 0 checkpoints (0 B), 2 are there already\n"


def test_only_some_or_the_newest_are_copied(cwd: Path) -> None:
    assert inside("copy", "checkpoints", "there", "--run", "r@1", cwd=cwd).returncode == 0
    assert steps(cwd / "there") == [1]
    assert inside("copy", "checkpoints", "there", "--latest", "--level", "format", cwd=cwd).returncode == 0
    assert steps(cwd / "there") == [1, 2]


def test_a_dry_run_copies_nothing(cwd: Path) -> None:
    done = inside("copy", "checkpoints", "there", "--dry-run", "--format", "json", cwd=cwd)
    told = json.loads(done.stdout)
    assert (told["dry_run"], [one["action"] for one in told["checkpoints"]]) == (True, ["copy", "copy"])
    assert (told["source"], told["destination"]) == (str(cwd / "checkpoints"), str(cwd / "there"))
    assert done.stderr == "would copy 2 checkpoints (12 B)\n"
    assert not (cwd / "there").exists()


def test_a_conflict_and_damage_have_the_codes_of_the_table(cwd: Path) -> None:
    flip(cwd / "checkpoints", 1)
    done = inside("copy", "checkpoints", "there", cwd=cwd)
    assert (done.returncode, steps(cwd / "there")) == (1, [2])
    assert "not copied: r@1" in done.stderr
    (cwd / "other").mkdir()
    save(cwd / "other", 2, "--metric", "loss=1")
    done = inside("copy", "checkpoints", "other/checkpoints", cwd=cwd)
    assert done.returncode == 6
    assert "conflict\tr@2" in done.stdout


def test_what_cannot_be_copied_is_refused_in_words(cwd: Path) -> None:
    refused(inside("copy", "nowhere", "there", cwd=cwd), 10, "does not exist")
    refused(inside("copy", "checkpoints", "there", "--run", "nobody", cwd=cwd), 4, "nobody")
    refused(inside("copy", "checkpoints", "checkpoints/inner", cwd=cwd), 5, "lies in it")
    refused(inside("copy", "checkpoints", "there", store=cwd / "checkpoints", cwd=cwd), 2, "no --store")
    (cwd / "empty").mkdir()
    refused(inside("copy", "empty", "there", cwd=cwd), 4, "no checkpoint")


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    (tmp_path / "ckptkit.yaml").write_text(
        "mirror:\n  url: far\n  retention: {keep_last: 1}\nretention:\n  keep_last: 2\n"
    )
    for step in (1, 2):
        assert save(tmp_path, step).returncode == 0
    return tmp_path


def test_a_save_is_in_the_mirror_when_the_command_ends(mirrored: Path) -> None:
    assert steps(mirrored / "far") == steps(mirrored / "checkpoints") == [1, 2]


def test_another_store_than_that_of_the_file_has_no_mirror(mirrored: Path) -> None:
    assert save(mirrored, 3, "--store", "elsewhere").returncode == 0
    assert steps(mirrored / "far") == [1, 2]
    assert save(mirrored, 3, env={"CKPTKIT_STORE": str(mirrored / "checkpoints")}).returncode == 0
    assert steps(mirrored / "far") == [1, 2, 3]


def test_a_mirror_that_cannot_be_written_is_told_and_the_save_is_there(tmp_path: Path) -> None:
    (tmp_path / "far").write_text("a file")
    (tmp_path / "ckptkit.yaml").write_text("mirror: far\n")
    done = save(tmp_path, 1)
    assert (done.returncode, steps(tmp_path / "checkpoints")) == (3, [1])
    assert done.stdout.strip().endswith("step-00000001")
    assert "not in the mirror" in done.stderr


def test_resume_cmd_and_restore_take_what_only_the_mirror_has(mirrored: Path) -> None:
    import shutil

    shutil.rmtree(mirrored / "checkpoints")
    done = inside("restore", "r", "out", cwd=mirrored)
    assert done.returncode == 0, done.stderr
    assert (mirrored / "out" / "notes" / "notes.txt").read_text() == "step 2"
    done = inside("resume-cmd", "r", "--template", "python train.py {path}", cwd=mirrored)
    assert done.stdout.strip().endswith(f"train.py {mirrored}/checkpoints/r/step-00000002/notes"), done.stderr
    assert steps(mirrored / "checkpoints") == [2]


def test_each_of_the_two_is_pruned_by_its_own_rules(mirrored: Path) -> None:
    assert save(mirrored, 3).returncode == 0
    assert inside("prune", "--apply", cwd=mirrored).returncode == 0
    assert (steps(mirrored / "checkpoints"), steps(mirrored / "far")) == ([2, 3], [1, 2, 3])
    assert inside("prune", "--mirror", "--apply", cwd=mirrored).returncode == 0
    assert (steps(mirrored / "checkpoints"), steps(mirrored / "far")) == ([2, 3], [3])
    assert save(mirrored, 4).returncode == 0
    assert steps(mirrored / "far") == [3, 4]


def test_prune_of_a_mirror_needs_one(mirrored: Path) -> None:
    refused(inside("prune", "--mirror", store=mirrored / "checkpoints", cwd=mirrored), 2, "--mirror")
    (mirrored / "ckptkit.yaml").write_text("mirror: far\n")
    refused(inside("prune", "--mirror", cwd=mirrored), 2, "no retention policy")
    (mirrored / "ckptkit.yaml").unlink()
    refused(inside("prune", "--mirror", cwd=mirrored), 2, "there is no mirror")


def test_the_mirror_is_shown_with_the_line_that_names_it(mirrored: Path) -> None:
    done = inside("config", "show", "--format", "json", cwd=mirrored)
    told = {one["name"]: (one["value"], one["where"]) for one in json.loads(done.stdout)["settings"]}
    file = mirrored / "ckptkit.yaml"
    assert told["mirror"] == (str(mirrored / "far"), f"{file}:2")
    assert told["mirror.retention.keep_last"] == (1, f"{file}:3")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mirror: {retention: {keep_last: 1}}\n", "mirror.url: is missing"),
        ("mirror: {url: far, keep: 1}\n", "mirror.keep: unknown key"),
        ("mirror: 5\n", "mirror"),
        ("mirror: {url: far, retention: {keep: 1}}\n", "keep"),
    ],
)
def test_a_mirror_that_is_misspelt_is_refused_with_its_line(cwd: Path, text: str, word: str) -> None:
    (cwd / "ckptkit.yaml").write_text(text)
    refused(inside("list", cwd=cwd), 2, word, "line 1")


def test_what_a_rehearsal_saves_is_in_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ckptkit import scratch

    rehearsal = scratch.Rehearsal(str(tmp_path / "real"), str(tmp_path / "scratch"), "r", 1, 2, 0, str(tmp_path / "n"))
    monkeypatch.setenv(scratch.VARIABLE, rehearsal.variable())
    assert CheckpointStore(tmp_path / "real", mirror=tmp_path / "far").mirror is None
