"""A store that is named from the working directory: `--store .`, as `adopt` tells people to type it."""

from pathlib import Path

import pytest
from adopting import adopt
from command_line import ckptkit, inside, refused
from foreign_files import hugging_face

COMMANDS = [
    "list", "list --trash", "show a/run@latest", "verify", "diff a/run@4 a/run@8", "find --file config.json", "doctor",
    "tag a/run@8 good", "pin a/run@8", "resume-cmd a/run", "prune a/run --keep-last 1 --apply", "list --trash",
    "undelete a/run@4", "restore a/run@8 ../restored", "adopt .",
]  # fmt: skip


def test_every_command_takes_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for step in (4, 8):
        hugging_face(out / "a/run", step)
    (out / "a/last").symlink_to("run/checkpoint-8")
    assert adopt(out)[0] == 0
    ends = {command: ckptkit(*command.split(), store=Path(), cwd=out) for command in COMMANDS}
    assert {command: done.stderr for command, done in ends.items() if done.returncode} == {}


@pytest.mark.parametrize(("folder", "named"), [(".", "."), ("a/run", "../.."), ("a/run/checkpoint-4", "../../..")])
def test_who_stands_in_a_store_and_names_none_is_told_its_name(folder: str, named: str, tmp_path: Path) -> None:
    hugging_face(tmp_path / "a/run", 4)
    (tmp_path / "other").mkdir()
    adopt(tmp_path / "a/run", "--manifests", "beside", store=tmp_path)
    for command in ("list", "verify", "prune --keep-last 1", "undelete x@4", "pin x@4"):
        done = inside(*command.split(), cwd=tmp_path / folder)
        refused(done, 10, "store checkpoints: does not exist")
        assert done.stderr.endswith(f"--store {named}\n"), command
    assert inside("list", store=Path(named), cwd=tmp_path / folder).returncode == 0


def test_the_nearest_store_is_named_where_one_lies_in_another(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "inner/run"):
        hugging_face(folder, 4)
    adopt(tmp_path / "inner/run", "--manifests", "beside", store=tmp_path / "inner")
    adopt(tmp_path / "checkpoint-4", "--manifests", "beside", store=tmp_path)
    assert inside("list", cwd=tmp_path / "inner").stderr.endswith("--store .\n")
    assert inside("list", cwd=tmp_path).stderr.endswith("--store .\n")


def test_what_is_restored_into_the_store_is_refused_in_true_words(tmp_path: Path) -> None:
    hugging_face(tmp_path / "run", 4)
    (tmp_path / "train.py").touch()
    adopt(tmp_path)
    done = inside("restore", "run@4", "restored", store=Path(), cwd=tmp_path)
    refused(done, 5, "restored: lies in the store ., where nothing is written but checkpoints")
