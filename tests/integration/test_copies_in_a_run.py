"""A store, or a run, that somebody copied into a run's folder: listed under its place, not pruned with the store."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import inside
from in_memory import in_store

from ckptkit import CheckpointStore
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Wrote

LAST = RetentionPolicy(keep_last=1)


def save(root: Path, run: str, *steps: int, parent: str | None = None) -> CheckpointStore:
    store = CheckpointStore(root)
    for step in steps:
        store.save(run, step, {"rng": np.random.default_rng(step)}, parent=parent, resume=["train", "{run}@{step}"])
    return store


def removed(store: CheckpointStore, **more: str) -> set[str]:
    return {c.name for c in store.plan_prune(LAST, **more).plan.removed}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    save(tmp_path / "store", "a/run", 1, 2)
    return save(tmp_path / "store", "b", 1, 2)


@pytest.mark.on_disk("a person copies folders into the store")
def test_a_store_in_a_run_is_not_pruned_with_it(store: CheckpointStore, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    (tmp_path / "copy").rename(tmp_path / "store" / "a" / "run" / "backup")
    assert removed(store) == {"a/run@1", "b@1"}
    done = inside("prune", "--keep-last", "1", "--apply", store=Path(store.storage.url))
    assert done.returncode == 0
    assert (
        "a/run/backup/b: was copied into the folder of run a/run, and is not pruned unless you name it" in done.stderr
    )
    copies = [one.at.ref for one in store.list() if "backup" in one.at.run]
    assert copies == ["a/run/backup/a/run@1", "a/run/backup/a/run@2", "a/run/backup/b@1", "a/run/backup/b@2"]
    listed = inside("list", "a/run", "--format", "json", store=Path(store.storage.url))
    assert [c["ref"] for c in json.loads(listed.stdout)["checkpoints"]] == ["a/run@2"]


@pytest.mark.on_disk("a person copies folders into the store")
def test_it_is_pruned_when_it_is_named(store: CheckpointStore, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "store" / "b", tmp_path / "store" / "a" / "run" / "b")
    assert removed(store, run="a/run/b") == {"a/run/b@1"}


@pytest.mark.on_disk("a person copies folders into the store")
def test_a_copied_store_whose_checkpoints_lie_right_in_it(store: CheckpointStore, tmp_path: Path) -> None:
    save(tmp_path / "other", ".", 1, 2)
    shutil.copytree(tmp_path / "other", tmp_path / "store" / "b" / "backup")
    assert removed(store) == {"a/run@1", "b@1"}


def test_a_run_that_was_saved_inside_another_is_pruned_as_ever(store: CheckpointStore) -> None:
    save(Path(store.storage.url), "b/ablation", 1, 2)
    assert removed(store) == {"a/run@1", "b@1", "b/ablation@1"}


def test_a_renamed_run_is_pruned_as_ever(store: CheckpointStore, tmp_path: Path) -> None:
    run = in_store(tmp_path / "store" / "b")
    run.rename(run.with_name("renamed"))  # type: ignore[arg-type]  # both are of one kind
    assert removed(store) == {"a/run@1", "renamed@1"}


@pytest.mark.on_disk("a person copies folders into the store")
def test_the_copy_of_a_continuation_is_not_gone_on_from(store: CheckpointStore, tmp_path: Path) -> None:
    save(tmp_path / "store", "later", 5, parent="b@2")
    shutil.copytree(tmp_path / "store" / "later", tmp_path / "store" / "b" / "later")
    assert store.choose("b").at.ref == "later@5"


@pytest.mark.on_disk("a trainer writes its files into the folder of the run")
def test_checkpoints_right_in_the_store_are_no_copy_of_themselves(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (1, 2):
        (tmp_path / f"notes-{step}.txt").write_text("as they are")
        store.adopt(".", f"notes-{step}.txt", step, {"notes": Wrote(f"notes-{step}.txt", backend="files")})
    assert removed(store) == {".@1"}
