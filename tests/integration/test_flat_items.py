"""Checkpoints as a trainer draws them: a folder name of its own, and the files of all items right in it."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from ckptkit_numpy import GlobalRng
from in_memory import MemoryPath, in_store

from ckptkit import CheckpointStore
from ckptkit.errors import DamagedError, UnsafeContentError, UsageError
from ckptkit.manifest.reading import sealed
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Files


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "outputs")


def save(store: CheckpointStore, step: int = 1000) -> Path | MemoryPath:
    items = {"weights": {"w": np.arange(6.0)}, "rng": GlobalRng(noise=np.random.default_rng(step))}
    return in_store(store.save("run", step, items, folder=f"checkpoint-{step}", flat=True).at.where)


def rewritten(folder: Path | MemoryPath, change: tuple[str, str]) -> None:
    path = folder / "manifest.json"
    fields = json.loads(path.read_text().replace(*change))
    del fields["digest"]
    path.write_bytes(sealed(fields, "blake3")[1])


def test_the_folder_is_as_drawn_and_has_the_manifest_beside(store: CheckpointStore) -> None:
    folder = save(store)
    assert str(folder) == f"{store.storage.url}/run/checkpoint-1000"
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "policy.safetensors",
        "policy_record.json",
        "rng.json",
    ]


def test_it_is_listed_verified_and_restored(store: CheckpointStore) -> None:
    random.seed(5)
    save(store)
    ahead = random.random()
    save(store, 2000)
    random.seed(6)
    weights, noise = {"w": np.zeros(6)}, np.random.default_rng()
    assert [one.at.ref for one in store.list()] == ["run@1000", "run@2000"]
    assert not any(one.problems for one in store.verify().checkpoints)
    restored = store.restore("run@1000", into={"weights": weights, "rng": GlobalRng(noise=noise)})
    assert restored is not None
    assert weights["w"].tolist() == [0, 1, 2, 3, 4, 5]
    assert noise.random() == np.random.default_rng(1000).random()
    assert random.random() == ahead


def test_its_proof_of_resume_replays(store: CheckpointStore) -> None:
    save(store)
    report = store.verify(level="resume")
    assert {name: proof.verdict for one in report.checkpoints for name, proof in one.proofs.items()} == {
        "weights": "same",
        "rng": "same",
    }


def test_a_flipped_bit_is_found_and_named(store: CheckpointStore) -> None:
    path = save(store) / "rng.json"
    path.write_bytes(path.read_bytes().replace(b"PCG64", b"PCG65", 1))
    problems = store.verify().checkpoints[0].problems
    assert [(p.code, p.file, p.item) for p in problems] == [("digest-mismatch", "rng.json", "rng")]


def test_a_file_that_is_not_listed_is_found(store: CheckpointStore) -> None:
    (save(store) / "notes.txt").touch()
    assert [p.code for p in store.verify().checkpoints[0].problems] == ["file-extra"]


def test_a_copy_under_another_step_is_refused(store: CheckpointStore) -> None:
    folder = save(store)
    folder.rename(folder.with_name("checkpoint-2000"))
    with pytest.raises(DamagedError, match="says step 1000, but its name 'checkpoint-2000' says 2000"):
        store.restore("run@2000", into={"weights": {"w": np.zeros(6)}})


def test_it_goes_to_the_trash_and_comes_back_as_it_was(store: CheckpointStore) -> None:
    folder = save(store)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save(store, 2000)
    store.prune(store.plan_prune(RetentionPolicy(keep_last=1)))
    assert not folder.exists()
    store.undelete("run@1000")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_items_with_files_of_one_name_are_refused(store: CheckpointStore) -> None:
    items = {"one": np.random.default_rng(1), "two": np.random.default_rng(2)}
    with pytest.raises(UsageError, match=r"'rng.json' of item 'two' would lie where a file of item 'one' does"):
        store.save("run", 1, items, flat=True)
    assert not list(in_store(f"{store.storage.url}/run").glob("*-*1"))


def test_an_item_named_like_a_file_is_refused(store: CheckpointStore) -> None:
    with pytest.raises(UsageError, match=r"would lie where the folder of item 'rng.json' does"):
        store.save("run", 1, {"rng.json": np.random.default_rng(1)}, flat=True)


def test_an_item_with_folders_of_its_own_is_refused(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a.json").write_text("{}")
    with pytest.raises(UsageError, match=r"'sub/a.json', which cannot lie right in the checkpoint"):
        store.save("run", 1, {"tree": Files(tmp_path / "tree", "files")}, flat=True)


@pytest.mark.parametrize(
    "folder", ["checkpoint-2", "a/checkpoint-1", ".hidden-1", "..", "", "checkpoint-1.manifest.json"]
)
def test_a_folder_name_that_would_not_be_found_is_refused(store: CheckpointStore, folder: str) -> None:
    with pytest.raises(UsageError):
        store.save("run", 1, {"rng": np.random.default_rng(1)}, folder=folder)


@pytest.mark.parametrize(
    ("change", "file"),
    [(('"rng.json"', '"weights/rng.json"'), "weights/rng.json"), (('"rng.json"', '"observed.json"'), "observed.json")],
)
def test_a_flat_item_lists_nothing_of_others(store: CheckpointStore, change: tuple[str, str], file: str) -> None:
    rewritten(save(store), change)
    problem = next(p for p in store.verify().checkpoints[0].problems if p.code == "path-unsafe")
    assert (problem.file, problem.severity) == (file, "unsafe")
    with pytest.raises(UnsafeContentError):
        store.restore("run@1000", into={})
