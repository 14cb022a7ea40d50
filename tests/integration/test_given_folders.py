"""What is given is what is saved: subfolders, hidden files and links are kept, refused, or told with exit code 3."""

import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint
from command_line import inside, refused
from safetensors.torch import save_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, with a subfolder as DeepSpeed and FSDP write them."""
    folder = tmp_path / "given"
    (folder / "global_step6").mkdir(parents=True)
    save_file({"weight": torch.ones(2)}, folder / "model.safetensors")
    (folder / "latest").write_text("global_step6")
    torch.save({"optimizer_state_dict": {}}, folder / "global_step6" / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    with warnings.catch_warnings(action="ignore"):  # it says that there is only one process
        torch.distributed.checkpoint.save({"w": torch.ones(3)}, checkpoint_id=folder / "optimizer_0", no_dist=True)
    return folder


def names(folder: Path) -> set[str]:
    return {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("word", ["it", "it:files"])
@pytest.mark.on_disk("what was saved is looked at on the disk")
def test_subfolders_and_hidden_files_are_saved(folder: Path, word: str, tmp_path: Path) -> None:
    (folder / "optimizer_0" / ".hidden").write_bytes(b"state")
    done = inside("save", "run", "--step", "6", f"{word}={folder}", store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "store" / "run" / "step-00000006" / "it") == names(folder)


@pytest.mark.parametrize("word", ["it", "it:files"])
@pytest.mark.on_disk("what was saved is looked at on the disk")
def test_a_snapshot_of_the_hubs_cache_is_saved_as_files(folder: Path, word: str, tmp_path: Path) -> None:
    hub = tmp_path / "models--x--y"
    snapshot = hub / "snapshots" / "0a1b"
    folder.rename(hub.mkdir() or hub / "blobs")
    for name in sorted(names(hub / "blobs")):
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(hub / "blobs" / name)
    done = inside("save", "run", "--step", "6", f"{word}={snapshot}", store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    saved = tmp_path / "store" / "run" / "step-00000006" / "it"
    assert names(saved) == names(hub / "blobs")
    assert not any(path.is_symlink() for path in saved.rglob("*"))


@pytest.mark.parametrize("word", ["it", "it:files"])
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, word: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    (folder / "vocab.txt").symlink_to(tmp_path / "secret")
    done = inside("save", "run", "--step", "6", f"{word}={folder}", store=tmp_path / "store")
    refused(done, 5, "vocab.txt", "is a link that leaves the folder")


@pytest.mark.parametrize("word", ["it", "it:files"])
def test_a_link_that_leads_nowhere_is_refused(folder: Path, word: str, tmp_path: Path) -> None:
    (folder / "vocab.txt").symlink_to("gone")
    done = inside("save", "run", "--step", "6", f"{word}={folder}", store=tmp_path / "store")
    refused(done, 1, "vocab.txt", "is a link to gone, which does not exist")


@pytest.mark.parametrize("word", ["it", "it:files"])
def test_a_link_to_a_folder_is_not_saved_which_is_said_and_exits_3(folder: Path, word: str, tmp_path: Path) -> None:
    (folder / "newest").symlink_to("global_step6")
    done = inside("save", "run", "--step", "6", f"{word}={folder}", store=tmp_path / "store")
    assert done.returncode == 3
    assert "item 'it': hazard: not saved: newest (a link to a folder)" in done.stderr.splitlines()
    assert done.stdout.strip().endswith("step-00000006"), "what is there is committed"


@pytest.mark.parametrize("word", ["it", "it:files"])
def test_an_empty_subfolder_is_not_saved_which_is_said_and_exits_3(folder: Path, word: str, tmp_path: Path) -> None:
    (folder / "logs" / "tensorboard").mkdir(parents=True)
    done = inside("save", "run", "--step", "6", f"{word}={folder}", store=tmp_path / "store")
    assert done.returncode == 3
    assert "item 'it': hazard: not saved: logs/tensorboard (an empty folder)" in done.stderr.splitlines()


def test_checkpoints_in_the_folder_of_a_training_are_not_saved_which_is_said_and_exits_3(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "checkpoint-3").mkdir()
    save_file({"weight": torch.ones(2)}, folder / "checkpoint-3" / "model.safetensors")
    done = inside("save", "run", "--step", "6", f"it={folder}", store=tmp_path / "store")
    assert done.returncode == 3
    assert "item 'it': hazard: not saved: checkpoint-3/ (1 file)" in done.stderr.splitlines()


@pytest.mark.on_disk("the store lies in the folder that is saved")
def test_a_folder_that_holds_the_store_is_refused(folder: Path) -> None:
    done = inside("save", "run", "--step", "6", f"it:files={folder}", store=folder / "checkpoints")
    refused(done, 5, "holds the store")
    assert not (folder / "checkpoints").exists()


def test_a_dead_link_that_names_the_newest_checkpoint_is_told_as_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "last").symlink_to("000007")
    done = inside("save", "run", "--step", "7", f"it={tmp_path / 'last'}", store=tmp_path / "store")
    refused(done, 4, "last is a link to 000007, which does not exist")


@pytest.mark.parametrize(("step", "code"), [(48, 0), (40, 5)])
def test_the_step_that_a_file_knows_is_the_step_that_it_is_saved_at(step: int, code: int, tmp_path: Path) -> None:
    content = {"pytorch-lightning_version": "2.6.6", "epoch": 2, "global_step": 48, "state_dict": {"w": torch.ones(1)}}
    torch.save(content, tmp_path / "epoch=2-step=48.ckpt")
    words = ("save", "run", "--step", str(step), f"it:files={tmp_path / 'epoch=2-step=48.ckpt'}")
    assert inside(*words, store=tmp_path / "store").returncode == code


def test_what_is_odd_in_a_file_and_no_reason_to_refuse_it_is_said_at_the_save(tmp_path: Path) -> None:
    (tmp_path / "state.xyz").touch()
    done = inside("save", "run", "--step", "1", f"it:files={tmp_path / 'state.xyz'}", store=tmp_path / "store")
    assert done.returncode == 0
    assert "item 'it': warning: it/state.xyz: is empty: was it written completely?" in done.stderr.splitlines()
