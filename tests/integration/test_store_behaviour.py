"""What the store promises beside saving: consistent sets, protection, concurrency, copies, flat files."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from command_line import inside, refused
from in_memory import in_store

from ckptkit import CheckpointStore
from ckptkit.errors import (
    ConflictError,
    DamagedError,
    InconsistentSetError,
    NothingResumableError,
    RefusedError,
    UsageError,
)
from ckptkit.retention import RetentionPolicy
from ckptkit.store import Details

LAST = RetentionPolicy(keep_last=1)


def rng(seed: int = 0) -> Any:
    return np.random.default_rng(seed)


def save(root: Path, *steps: int, run: str = "r", **more: Any) -> CheckpointStore:
    store = CheckpointStore(root)
    for step in steps:
        store.save(run, step, {"rng": rng(step)}, **more)
    return store


def steps(store: CheckpointStore, run: str = "r") -> list[int | None]:
    return [one.at.step for one in store.list(run)]


def damage(root: Path, step: int, run: str = "r") -> None:
    path = in_store(root / run / f"step-{step:08d}" / "rng" / "rng.json")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def folder_of_trainer(root: Path, step: int) -> Path:
    """A folder that says its own step."""
    folder = root / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    safetensors.numpy.save_file({"w": np.arange(4.0)}, folder / "model.safetensors")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


class TestConsistentSets:
    def test_items_of_another_step_are_refused_at_save(self, tmp_path: Path) -> None:
        folder = folder_of_trainer(tmp_path, 14)
        store = save(tmp_path / "s", 1)
        with pytest.raises(InconsistentSetError, match="'policy' is at step 14, the checkpoint at step 15") as caught:
            store.save("r", 15, {"policy": folder, "rng": rng()})
        assert caught.value.exit_code == 5
        assert steps(store) == [1]
        store.save("r", 14, {"policy": folder, "rng": rng()})

    def test_counters_that_do_not_agree_are_refused(self, tmp_path: Path) -> None:
        code = 5
        folder = folder_of_trainer(tmp_path, 14)
        done = inside("save", "r", "--step", "3", f"policy={folder}", store=tmp_path / "s")
        refused(done, code, "step 14", "step 3")


class TestRoom:
    def test_a_good_checkpoint_is_not_overwritten(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        before = in_store(tmp_path / "r/step-00000001/manifest.json").read_bytes()
        with pytest.raises(ConflictError):
            save(tmp_path, 1)
        assert in_store(tmp_path / "r/step-00000001/manifest.json").read_bytes() == before
        assert store.verify().exit_code == 0

    def test_a_damaged_one_makes_room_and_waits_in_the_trash(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        damage(tmp_path, 2)
        save(tmp_path, 2)
        assert store.verify().exit_code == 0
        assert len(list(in_store(tmp_path / "r/.ckptkit/trash").iterdir())) == 1

    def test_replace_moves_the_old_one_to_the_trash(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        store.save("r", 1, {"rng": rng(99)}, replace=True)
        assert store.verify().exit_code == 0
        with pytest.raises(ConflictError):
            store.undelete("r@1")

    def test_a_file_in_the_way_is_a_conflict(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        in_store(tmp_path / "r/step-00000002").write_text("mine")
        with pytest.raises(ConflictError):
            save(tmp_path, 2)
        assert in_store(tmp_path / "r/step-00000002").read_text() == "mine"
        assert steps(store) == [1]


def _save_once(root: str, step: int, ready: Any, results: Any) -> None:
    ready.wait()
    try:
        CheckpointStore(root).save("r", step, {"rng": rng(step), "w": {"a": np.ones(50_000)}})
        results.put("saved")
    except ConflictError:
        results.put("conflict")


class TestConcurrency:
    @pytest.mark.on_disk("other processes save there")
    def test_of_saves_of_one_step_one_wins(self, tmp_path: Path) -> None:
        fork = multiprocessing.get_context("spawn")
        ready, results = fork.Barrier(3), fork.Queue()
        workers = [fork.Process(target=_save_once, args=(str(tmp_path), 5, ready, results)) for _ in range(3)]
        for worker in workers:
            worker.start()
        found = sorted(results.get(timeout=120) for _ in workers)
        for worker in workers:
            worker.join(60)
        assert found == ["conflict", "conflict", "saved"]
        store = CheckpointStore(tmp_path)
        assert steps(store) == [5]
        assert store.verify().exit_code == 0
        assert list((tmp_path / "r" / ".ckptkit" / "staging").iterdir()) == []

    @pytest.mark.on_disk("another process prunes there")
    def test_saves_go_on_while_another_process_prunes(self, tmp_path: Path) -> None:
        save(tmp_path, 1)
        code = (
            "import sys, time\n"
            "from ckptkit import CheckpointStore\n"
            "from ckptkit.errors import LockedError\n"
            "from ckptkit.retention import RetentionPolicy\n"
            "store = CheckpointStore(sys.argv[1])\n"
            "print('ready', flush=True)\n"
            "until = time.monotonic() + 3\n"
            "while time.monotonic() < until:\n"
            "    try: store.prune(store.plan_prune(RetentionPolicy(keep_last=2)))\n"
            "    except LockedError: pass\n"
        )
        command = [sys.executable, "-c", code, str(tmp_path)]
        last = 1
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pruning:
            assert pruning.stdout is not None
            assert pruning.stdout.readline() == "ready\n"
            while pruning.poll() is None:
                last += 1
                save(tmp_path, last)
        assert pruning.returncode == 0
        store = CheckpointStore(tmp_path)
        assert steps(store)[-1] == last
        assert store.verify().exit_code == 0

    def test_what_is_pinned_after_the_plan_is_not_removed(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        planned = store.plan_prune(LAST)
        store.pin("r@1")
        done = store.prune(planned)
        assert done.failures == ["r@1: was pinned meanwhile"]
        assert steps(store) == [1, 2]

    def test_what_was_saved_anew_after_the_plan_is_not_removed(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        damage(tmp_path, 1)
        planned = store.plan_prune(LAST)
        store.save("r", 1, {"rng": rng(77)})
        done = store.prune(planned)
        assert done.failures == ["r@1: was changed meanwhile"]
        assert steps(store) == [1, 2]

    def test_two_prunes_of_one_plan_end_alike(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2, 3)
        one, two = store.plan_prune(LAST), store.plan_prune(LAST)
        assert len(store.prune(one).removed) == 2
        assert len(store.prune(two).removed) == 0
        assert steps(store) == [3]

    @pytest.mark.on_disk("a save that dies leaves a staging folder")
    def test_leftovers_of_a_dead_save_are_removed_after_the_grace_time_only(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        left = tmp_path / "r" / ".ckptkit" / "staging" / "dead" / "checkpoint"
        left.mkdir(parents=True)
        assert store.plan_prune(LAST).garbage == []
        os.utime(left.parent, (1, 1))
        planned = store.plan_prune(LAST)
        assert [*map(str, planned.garbage)] == [str(left.parent)]
        store.prune(planned)
        assert not left.exists()


class TestRetention:
    def test_a_damaged_one_never_fills_a_slot(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2, 3)
        damage(tmp_path, 3)
        store.prune(store.plan_prune(LAST))
        assert 2 in steps(store)
        assert store.choose("r").at.step == 2

    def test_when_nothing_verifies_nothing_is_removed(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        damage(tmp_path, 1), damage(tmp_path, 2)
        with pytest.raises(RefusedError):
            store.plan_prune(LAST)

    def test_what_another_run_was_resumed_from_stays(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2, 3, run="old")
        store.restore("old@1", into={"rng": None})
        save(tmp_path, 1, run="new", parent="old@1")
        store.prune(store.plan_prune(LAST, run="old"))
        assert steps(store, "old") == [1, 3]

    def test_steps_are_ordered_as_numbers(self, tmp_path: Path) -> None:
        store = save(tmp_path, 9, 10, 100, 1000, 123456789)
        assert steps(store) == [9, 10, 100, 1000, 123456789]
        store.prune(store.plan_prune(RetentionPolicy(keep_last=2)))
        assert steps(store) == [1000, 123456789]

    def test_the_run_remembers_what_it_was_restored_from(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        store.restore("r@1", into={"rng": rng()})
        committed = store.save("r", 2, {"rng": rng()})
        assert committed.manifest.parent is not None
        assert committed.manifest.parent.step == 1

    def test_a_long_run_name_may_be_a_parent(self, tmp_path: Path) -> None:
        name = "/".join(["a" * 100] * 5)
        store = save(tmp_path, 1, run=name)
        store.restore(f"{name}@1", into={"rng": rng()})
        save(tmp_path, 2, run="other", parent=f"{name}@1")
        assert store.save(name, 2, {"rng": rng()}).manifest.parent is not None


class TestNames:
    def test_a_run_of_many_parts_is_refused_rather_than_never_found(self, tmp_path: Path) -> None:
        deep = "/".join("abcdefghijklmnop")
        store = save(tmp_path, 1, run=deep)
        assert [one.at.run for one in store.list()] == [deep]
        with pytest.raises(UsageError, match="more than 16 parts"):
            save(tmp_path, 1, run=f"{deep}/q")

    def test_a_run_inside_a_checkpoint_is_refused(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        folder = in_store(tmp_path / "r" / "step-00000001")
        folder.rename(folder.with_name("kept"))
        with pytest.raises(RefusedError, match="is a checkpoint"):
            save(tmp_path, 1, run="r/kept/more")
        assert len(list(store.list())) == 1

    def test_the_store_folder_itself_may_be_the_run(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, run=".")
        assert store.choose(".").at.step == 1
        assert [one.at.ref for one in store.list()] == [".@1"]


class TestCopies:
    @pytest.mark.on_disk("a person copies a folder to another store")
    def test_a_copied_checkpoint_is_listed_and_good_in_its_new_place(self, tmp_path: Path) -> None:
        save(tmp_path / "a", 1)
        shutil.copytree(tmp_path / "a" / "r" / "step-00000001", tmp_path / "b" / "other" / "step-00000001")
        copy = CheckpointStore(tmp_path / "b")
        assert [one.at.ref for one in copy.list()] == ["other@1"]
        assert copy.verify().exit_code == 0
        assert copy.restore("other", into={"rng": None}) is not None

    def test_restore_falls_back_and_says_why(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1, 2)
        damage(tmp_path, 2)
        restored = store.restore("r", into={"rng": rng()})
        assert restored is not None
        assert restored.step == 1
        assert "r@2: rng/rng.json" in restored.skipped[0]
        with pytest.raises(DamagedError):
            store.restore("r@2", into={"rng": rng()})
        damage(tmp_path, 1)
        with pytest.raises(NothingResumableError):
            store.restore("r", into={"rng": rng()}, missing_ok=True)

    def test_a_fresh_start_is_none_if_asked_for(self, tmp_path: Path) -> None:
        store = save(tmp_path, 1)
        assert store.restore("fresh", into={"rng": rng()}, missing_ok=True) is None


def flat(root: Path, step: int) -> dict[str, list[Path]]:
    folder = root / "r"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ep{step:06d}.safetensors"
    safetensors.numpy.save_file({"w": np.arange(4.0) + step}, path)
    return {"weights": [path]}


@pytest.mark.on_disk("a trainer writes its files into the folder of the run")
class TestFlatFiles:
    @pytest.fixture
    def store(self, tmp_path: Path) -> CheckpointStore:
        store = CheckpointStore(tmp_path)
        for step in (1, 2, 3):
            details = Details(metrics={"reward": float(step)}, resume=["train", "{path}"])
            store.adopt_in_place("r", f"ep{step:06d}", flat(tmp_path, step), details)
        return store

    def test_every_command_treats_them_alike(self, store: CheckpointStore, tmp_path: Path) -> None:
        assert steps(store) == [1, 2, 3]
        assert store.verify().exit_code == 0
        assert "ep000003.safetensors" in inside("show", "r@3", store=tmp_path).stdout
        line = inside("resume-cmd", "r", "--format", "argv0", store=tmp_path).stdout
        assert line == f"train\0{tmp_path}/r/ep000003.safetensors\0"
        out = tmp_path.with_name(f"{tmp_path.name}-out")
        assert inside("restore", "r@2", out, store=tmp_path).returncode == 0
        assert (out / "ep000002.safetensors").is_file()
        restored = store.restore("r", into={"weights": None})
        assert restored is not None
        assert restored.step == 3

    def test_prune_moves_their_files_and_undelete_brings_them_back(
        self, store: CheckpointStore, tmp_path: Path
    ) -> None:
        (tmp_path / "r" / "ep000001.log").write_text("not ours")
        store.prune(store.plan_prune(LAST))
        names = {path.name for path in (tmp_path / "r").iterdir()}
        assert names == {".ckptkit", "ep000001.log", "ep000003.manifest.json", "ep000003.safetensors"}
        store.undelete("r@1")
        assert steps(store) == [1, 3]
        assert store.verify().exit_code == 0

    def test_damage_is_found(self, store: CheckpointStore, tmp_path: Path) -> None:
        (tmp_path / "r" / "ep000002.safetensors").write_bytes(b"x")
        [report] = store.verify("r@2").checkpoints
        assert [(p.code, p.file) for p in report.problems] == [("file-size", "ep000002.safetensors")]

    def test_a_file_that_two_of_them_list_stays_for_the_other(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        shared = flat(tmp_path, 0)
        for step in (1, 2):
            store.adopt_in_place("r", f"ep{step:06d}", shared)
        store.prune(store.plan_prune(LAST))
        assert steps(store) == [2]
        assert store.verify().exit_code == 0
        store.prune(store.plan_prune(LAST))
        assert store.verify().exit_code == 0
        store.undelete("r@1")
        assert store.verify().exit_code == 0

    def test_what_a_trainer_writes_anew_is_not_taken_for_garbage(self, store: CheckpointStore, tmp_path: Path) -> None:
        (tmp_path / "r" / "ep000001.safetensors").unlink()
        store.prune(store.plan_prune(LAST))
        (tmp_path / "r" / "ep000001.safetensors").write_bytes(b"a new one")
        store.prune(store.plan_prune(LAST))
        assert (tmp_path / "r" / "ep000001.safetensors").read_bytes() == b"a new one"

    @pytest.mark.parametrize("path", ["linked/thesis.txt", "step-00000009/rng/rng.json", ".ckptkit/refs.json"])
    def test_a_manifest_that_lists_what_is_others_moves_nothing(self, path: str, tmp_path: Path) -> None:
        from ckptkit.digest import digest_bytes
        from ckptkit.formats import strict_json

        store = save(tmp_path / "s", 9)
        store.pin("r@9")
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "thesis.txt").write_text("x")
        (tmp_path / "s" / "r" / "linked").symlink_to(tmp_path / "home")
        store.adopt_in_place("r", "ep000001", flat(tmp_path / "s", 1))
        manifest = tmp_path / "s" / "r" / "ep000001.manifest.json"
        fields = json.loads(manifest.read_text())
        fields["items"]["weights"]["files"][0]["path"] = path
        del fields["digest"]
        fields["digest"] = digest_bytes(strict_json.dumps(fields))
        manifest.write_text(json.dumps(fields))
        assert store.verify("r@1").exit_code == 5
        before = (tmp_path / "s" / "r" / path).read_bytes()
        store.prune(store.plan_prune(LAST))
        assert (tmp_path / "s" / "r" / path).read_bytes() == before
        assert store.verify("r@9").exit_code == 0

    def test_files_that_lie_elsewhere_are_refused(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        outside = flat(tmp_path / "elsewhere", 1)
        (tmp_path / "r").mkdir()
        with pytest.raises(RefusedError, match="beside its manifest"):
            store.adopt_in_place("r", "ep000001", outside)
        link = tmp_path / "r" / "ep000001.safetensors"
        link.symlink_to(outside["weights"][0])
        with pytest.raises(DamagedError, match="symbolic link"):
            store.adopt_in_place("r", "ep000001", {"weights": link})
        assert list(store.list()) == []


def test_a_checkpoint_can_be_pinned_while_a_save_is_under_way(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save("r", 1, {"rng": np.random.default_rng(1)})
    with store.storage.locked("r", "save"):
        store.pin("r@1")
    [one] = store.list("r")
    assert one.pinned
