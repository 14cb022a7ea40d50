"""What a trainer wrote is copied into a folder of its own, with the same manifest, and resumes from there."""

from pathlib import Path

from adopted_runs import RUN, adopt, adopted, written
from command_line import inside

from ckptkit import CheckpointStore
from ckptkit.catalog import item_files
from ckptkit.store import Wrote
from ckptkit.testing import MemoryStorage


def test_a_trainers_folder_lies_in_a_folder_of_its_own_and_verifies(tmp_path: Path) -> None:
    store = adopted(tmp_path / "store", 500)
    store.copy_to(tmp_path / "there")
    copied = CheckpointStore(tmp_path / "there", cache=False)
    (at,) = copied.locate()
    assert (at.ref, at.folder) == (f"{RUN}@500", tmp_path / "there" / RUN / "checkpoint-500@500")
    assert at.manifest.read_bytes() == store.locate()[0].manifest.read_bytes()
    assert copied.verify(level="format").exit_code == 0
    item = copied.manifest(at).items["model"]
    assert item_files.names(at, "model", item) == ["deep/more.json", "trainer_state.json", "weights.bin"]
    assert item_files.main(at, "model", item) == "checkpoint-500"


def test_a_copy_of_a_copy_is_the_same_and_can_be_removed_and_taken_back(tmp_path: Path) -> None:
    adopted(tmp_path / "store", 500).copy_to(memory := MemoryStorage())
    CheckpointStore(memory, cache=False).copy_to(tmp_path / "there")
    there = CheckpointStore(tmp_path / "there", cache=False)
    assert there.verify().exit_code == 0
    removed = there.storage.remove(there.locate()[0])
    assert there.locate() == ()
    there.storage.bring_back(removed)
    assert there.verify().exit_code == 0


def test_its_resume_command_points_to_what_the_trainer_wrote(tmp_path: Path) -> None:
    store = adopted(tmp_path / "store", 500)
    store.copy_to(tmp_path / "there")
    template = "python train.py --resume {path} --also {items.model}"
    done = inside("resume-cmd", RUN, "--template", template, store=tmp_path / "there")
    folder = tmp_path / "there" / RUN / "checkpoint-500@500" / "checkpoint-500"
    assert done.stdout.strip().endswith(f"python train.py --resume {folder} --also {folder}"), done.stderr


def test_files_beside_each_other_are_copied_together(tmp_path: Path) -> None:
    folder = tmp_path / "store" / RUN
    folder.mkdir(parents=True)
    names = ("agent_9_steps.bin", "agent_vecnormalize_9_steps.bin")
    for name in names:
        (folder / name).write_bytes(name.encode())
    store = CheckpointStore(tmp_path / "store")
    store.adopt(RUN, names[0], 9, {"agent": Wrote(names[0], names, backend="files")})
    store.copy_to(tmp_path / "there")
    there = CheckpointStore(tmp_path / "there", cache=False)
    assert there.verify().exit_code == 0
    assert {path.name for path in there.locate()[0].folder.iterdir()} == {*names, "manifest.json"}
    done = inside("resume-cmd", RUN, "--template", "python play.py {path}", store=tmp_path / "there")
    assert done.stdout.strip().endswith(f"/{names[0]}"), done.stderr


def test_a_manifest_beside_flat_files_goes_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "flat"
    folder.mkdir(parents=True)
    state = '{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}'
    (folder / "ep000050.json").write_text(state)
    store = CheckpointStore(tmp_path / "store")
    store.adopt_in_place("flat", "ep000050", {"rng": folder / "ep000050.json"})
    store.copy_to(tmp_path / "there")
    there = CheckpointStore(tmp_path / "there", cache=False)
    assert [at.folder.name for at in there.locate()] == ["ep000050@50"]
    assert there.verify().exit_code == 0
    done = inside("resume-cmd", "flat", "--template", "python train.py {path}", store=tmp_path / "there")
    assert done.stdout.strip().endswith("/ep000050@50/ep000050.json"), done.stderr


def test_what_lies_elsewhere_is_copied_from_there(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "manifests")
    written(tmp_path / "trainer", 500)
    adopt(store, 500, folder=tmp_path / "trainer" / RUN)
    store.copy_to(tmp_path / "there")
    assert CheckpointStore(tmp_path / "there", cache=False).verify().exit_code == 0


def test_a_file_that_no_folder_of_ours_can_hold_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "store" / RUN
    folder.mkdir(parents=True)
    (folder / "shown.json").write_text("{}")
    store = CheckpointStore(tmp_path / "store")
    store.adopt(RUN, "shown.json", 3, {"log": Wrote("shown.json", backend="files")})
    (one,) = store.copy_to(tmp_path / "there").checkpoints
    assert (one.outcome, "shown.json" in one.reason) == ("damaged", True)
