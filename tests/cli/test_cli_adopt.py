"""Checkpoints that a trainer wrote without a manifest: `list` tells of them, `adopt` gives them one where they lie."""

import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import inside
from conftest import write_rng
from safetensors.numpy import save_file

from ckptkit import CheckpointStore
from ckptkit.errors import ConflictError, UnsafeContentError


def weights(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.zeros(2, np.float32)}, path)
    return path


def told(store: Path, *words: str) -> list[str]:
    return inside("list", *words, store=store).stderr.splitlines()


def remedy(line: str) -> list[str]:
    """Return the arguments of a printed command, after the program."""
    return shlex.split(line.partition(": ckptkit ")[2])


def test_flat_files_are_told_and_the_printed_command_lists_them(tmp_path: Path) -> None:
    store = tmp_path / "my ckpts"
    for step in (50, 100, 150, 200):
        weights(store / f"ppo/run1/ep{step:06d}.safetensors")
    nothing, what, how = told(store)
    assert nothing == "no checkpoints"
    assert what.startswith("ppo/run1: 4 checkpoints have no manifest and cannot be listed: ep000050.safetensors, ...")
    done = inside(*remedy(how))
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"{store}/ppo/run1/ep000050.manifest.json"
    listed = inside("list", store=store)
    assert [line.split("\t")[1] for line in listed.stdout.splitlines()[1:]] == ["50", "100", "150", "200"]
    assert listed.stderr == ""
    assert inside("verify", store=store).returncode == 0


def test_a_folder_gets_its_manifest_inside_and_is_pruned_as_a_whole(tmp_path: Path) -> None:
    for step in (100, 200):
        weights(tmp_path / f"run/checkpoint-{step}/model.safetensors")
    assert "checkpoint-100, checkpoint-200 (safetensors)" in told(tmp_path, "run")[-2]
    assert inside("adopt", "run", "--resume", "python train.py --resume {path}", store=tmp_path).returncode == 0
    assert inside("verify", store=tmp_path).returncode == 0
    line = inside("resume-cmd", "run", store=tmp_path).stdout
    assert line.endswith(f"python train.py --resume {tmp_path}/run/checkpoint-200\n")
    assert inside("prune", "run", "--keep-last", "1", "--apply", store=tmp_path).returncode == 0
    assert not (tmp_path / "run/checkpoint-100").exists()


def test_what_cannot_be_adopted_where_it_lies_is_copied_by_the_printed_command(tmp_path: Path) -> None:
    store = tmp_path / "store"
    weights(store / "out/checkpoint-7/model.safetensors")
    weights(store / "out/checkpoint-7/optimizer_0/part.safetensors")
    torch.save({"model": {"w": torch.zeros(2)}}, weights(store / "lightning/x.safetensors").with_name("step=48.ckpt"))
    lines = [line for line in told(store) if " save RUN " in line]
    assert len(lines) == 2
    for number, line in enumerate(lines):
        words = ["mine" if word == "RUN" else word for word in remedy(line)]
        words[words.index("mine")] = f"mine{number}"
        assert inside(*words).returncode == 0, line
    assert [at.ref for at in CheckpointStore(store).locate()] == ["mine0@48", "mine1@7"]


@pytest.mark.parametrize(
    "name", ["model-00001-of-00002.safetensors", "policy.safetensors", "notes-5.txt", ".tmp-5.safetensors"]
)
def test_parts_and_files_without_a_step_or_a_kind_are_not_told(tmp_path: Path, name: str) -> None:
    weights(tmp_path / "run" / name) if name.endswith("safetensors") else write_rng(tmp_path / "run" / name)
    assert told(tmp_path) == ["no checkpoints"]


def test_the_number_in_the_name_of_an_environment_is_no_step(tmp_path: Path) -> None:
    folder = tmp_path / "ppo/CartPole-v1_1"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "CartPole-v1.zip", "w") as agent:
        for name in ("data", "policy.pth"):
            agent.writestr(name, "{}")
    assert "CartPole-v1.zip (sb3)" in told(tmp_path)[1]  # alone it might be a first step
    (folder / "CartPole-v1").mkdir()
    (folder / "CartPole-v1/args.yml").write_text("algo: ppo\n")
    assert told(tmp_path) == ["no checkpoints"]


def test_the_step_of_a_name_is_printed_not_its_version(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(2)}}, weights(tmp_path / "run/x.safetensors").with_name("step=48-v1.ckpt"))
    assert "--step 48" in told(tmp_path)[-1].split(" save RUN ")[1]


def test_a_run_with_a_number_in_its_name_is_a_run(tmp_path: Path) -> None:
    weights(tmp_path / "run1/w-10.safetensors")
    weights(tmp_path / "run1/w-20.safetensors")
    assert told(tmp_path)[1].startswith("run1: 2 checkpoints have no manifest")
    assert inside("adopt", "run1", store=tmp_path).returncode == 0
    assert told(tmp_path) == []


def test_quiet_says_nothing_of_them(tmp_path: Path) -> None:
    weights(tmp_path / "run/w-10.safetensors")
    assert inside("--quiet", "list", store=tmp_path).stderr == ""


def test_a_damaged_one_is_told_and_the_others_are_adopted(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        weights(tmp_path / f"run/w-{step}.safetensors")
    broken = tmp_path / "run/w-20.safetensors"
    broken.write_bytes(broken.read_bytes()[:-3])
    done = inside("adopt", store=tmp_path)
    assert done.returncode == 3
    assert f"{broken}: not adopted: " in done.stderr
    assert [at.step for at in CheckpointStore(tmp_path).locate()] == [10, 30]
    assert "run: 1 checkpoint has no manifest" not in inside("list", store=tmp_path).stdout


def test_nothing_to_adopt_is_exit_4(tmp_path: Path, store: Path) -> None:
    assert inside("adopt", store=store).returncode == 4


def test_a_folder_with_more_in_it_than_the_items_list_is_refused(tmp_path: Path) -> None:
    file = weights(tmp_path / "run/checkpoint-5/model.safetensors")
    (tmp_path / "run/checkpoint-5/events.out").write_text("x")
    store = CheckpointStore(tmp_path)
    with pytest.raises(UnsafeContentError, match=r"holds events\.out too"):
        store.adopt_in_place("run", "checkpoint-5", {"policy": file})
    (tmp_path / "run/checkpoint-5/events.out").unlink()
    store.adopt_in_place("run", "checkpoint-5", {"policy": file})
    with pytest.raises(ConflictError, match="exists already"):
        store.adopt_in_place("run", "checkpoint-5", {"policy": file})
    assert [entry.name for entry in file.parent.iterdir() if entry.name.startswith(".")] == []
