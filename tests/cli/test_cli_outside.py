"""Nothing but checkpoints is written into a store, however the way into it is spelled."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import inside as ckptkit
from command_line import refused

from ckptkit import CheckpointStore
from ckptkit.errors import RefusedError

Spelling = Callable[[Path, Path], Path]
PLACES: dict[str, Spelling] = {
    "in a checkpoint": lambda store, _: store / "a" / "run" / "step-00000002" / "copy",
    "in an item": lambda store, _: store / "a" / "run" / "step-00000002" / "rng",
    "in the run": lambda store, _: store / "a" / "run" / "copy",
    "in ckptkit's own folder": lambda store, _: store / "a" / "run" / ".ckptkit" / "copy",
    "beside the runs": lambda store, _: store / "new",
    "the store": lambda store, _: store,
    "around the store": lambda store, _: store.parent,
    "by ..": lambda store, _: store / "a" / ".." / "copy",
    "by .. behind what is not there": lambda store, tmp: tmp / "nowhere" / ".." / store.name / "copy",
    "by a relative path": lambda store, _: Path(os.path.relpath(store)) / "copy",
    "by a link to the store": lambda _, tmp: tmp / "to-store" / "copy",
    "by a link to a checkpoint": lambda _, tmp: tmp / "to-checkpoint" / "copy",
    "by a link at the end": lambda _, tmp: tmp / "to-empty",
}


@pytest.fixture
def links(store: Path, tmp_path: Path) -> Path:
    (store / "empty").mkdir()
    for name, target in (("store", ""), ("checkpoint", "a/run/step-00000001"), ("empty", "empty")):
        (tmp_path / f"to-{name}").symlink_to(store / target)
    return tmp_path


@pytest.mark.parametrize("how", PLACES)
def test_a_restore_into_the_store_is_refused_and_changes_nothing(how: str, store: Path, links: Path) -> None:
    before = sorted(store.rglob("*"))
    place = PLACES[how](store, links)
    refused(ckptkit("restore", "a/run@1", place, store=store), 5, "the store")
    with pytest.raises(RefusedError):
        CheckpointStore(store).copy_out("a/run@1", place)
    assert sorted(store.rglob("*")) == before
    assert ckptkit("verify", store=store).returncode == 0


def test_a_store_that_is_itself_named_through_a_link_is_the_same_store(store: Path, links: Path) -> None:
    refused(ckptkit("restore", "a/run@1", store / "new", store=links / "to-store"), 5, "the store")


def test_a_restore_into_a_checkpoint_of_another_store_is_refused(store: Path, tmp_path: Path) -> None:
    assert ckptkit("restore", "a/run@1", tmp_path / "other" / "step-1", store=store).returncode == 0
    refused(ckptkit("restore", "a/run@2", tmp_path / "other" / "step-1" / "rng" / "x", store=store), 5, "a checkpoint")


def test_a_restore_through_a_link_to_an_empty_folder_elsewhere_arrives_there(store: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert ckptkit("restore", "a/run@1", tmp_path / "link", store=store).returncode == 0
    assert (tmp_path / "real" / "manifest.json").is_file()


@pytest.mark.parametrize("option", ["--junit", "--sarif"])
@pytest.mark.parametrize("name", ["a/run/step-00000001/manifest.json", "a/run/step-00000001/report.xml", "report.xml"])
def test_a_report_is_not_written_into_the_store(option: str, name: str, store: Path) -> None:
    refused(ckptkit("verify", option, store / name, store=store), 5, "the store")
    assert ckptkit("verify", store=store).returncode == 0


def test_a_path_that_holds_the_store_is_not_saved_into_it(store: Path) -> None:
    refused(ckptkit("save", "b", "--step", "1", f"all:files={store.parent}", store=store), 5, "holds the store")


def test_what_is_being_written_or_was_removed_is_not_adopted(store: Path) -> None:
    assert ckptkit("prune", "--keep-last", "1", "--apply", store=store).returncode == 0
    trash = store / "a" / "run" / ".ckptkit" / "trash"
    refused(ckptkit("save", "b", "--step", "1", f"x:files={trash}", store=store), 5, "of ckptkit's own")


def test_an_item_of_a_checkpoint_can_be_saved_again(store: Path) -> None:
    item = store / "a" / "run" / "step-00000001" / "rng" / "rng.json"
    assert ckptkit("save", "b", "--step", "1", f"rng={item}", store=store).returncode == 0


def test_a_place_that_cannot_be_written_is_no_fault_of_the_store(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = ckptkit("restore", "a/run@1", "file/new", store=store, cwd=tmp_path)
    refused(done, 10, "file/new: cannot be written: ")
    assert done.stderr.endswith("  name a folder where you may write\n")
