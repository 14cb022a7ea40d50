"""Before the first step: a run is held by one process, can be written to, and has nothing newer in the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_memory import in_store

from ckptkit import CheckpointStore
from ckptkit.errors import ConflictError, LockedError, NothingResumableError, ProtectedError, StoreError, UsageError
from ckptkit.storage.local import holds

FLAT = pytest.mark.on_disk("a trainer writes its files into the folder of the run")
TRAINING = """\
import subprocess, sys, time
from ckptkit import CheckpointStore
from ckptkit.errors import CkptkitError
store = CheckpointStore(sys.argv[1])
try:
    {take}
except CkptkitError as error:
    sys.exit(f"{{error}} | {{error.hint}} | {{error.exit_code}}")
{then}
print("holds", flush=True)
sys.stdin.read()
"""
"""A process that takes a run and then trains until its stdin is closed."""
PREPARE, OBSERVE, HOLD = 'store.prepare("r")', 'store.observe("r")', 'store.hold("r")'
WORKERS = """\
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
worker.start()
other = subprocess.Popen(["sleep", "60"], close_fds=False)
print(worker.pid, other.pid, flush=True)
"""


CHILD = """\
import os
pid = os.fork()
if pid == 0:
    try:
        store.prepare("r")
    except CkptkitError as error:
        os._exit(error.exit_code)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
NOBODY = """\
import os, sys
from ckptkit import CheckpointStore
from ckptkit.errors import StoreError
store = CheckpointStore(sys.argv[1])
if os.geteuid() == 0:  # root may write everywhere
    store.prepare("imports/all")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    store.prepare("r")
except StoreError as error:
    print(error)
"""


def program(take: str = PREPARE, then: str = "") -> list[str]:
    return [sys.executable, "-c", TRAINING.format(take=take, then=then)]


@contextmanager
def training(store: Path, take: str = PREPARE, then: str = "") -> Iterator["subprocess.Popen[str]"]:
    words = [*program(take, then), str(store)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def second(store: Path, take: str = PREPARE) -> "subprocess.CompletedProcess[str]":
    words = [*program(take), str(store)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def rng(seed: int = 0) -> Any:
    return np.random.default_rng(seed)


def saved(root: Path, *steps: int, run: str = "r") -> CheckpointStore:
    store = CheckpointStore(root)
    for step in steps:
        store.save(run, step, {"rng": rng(step)})
    return store


def steps(root: Path, run: str = "r") -> list[int | None]:
    return [at.step for at in CheckpointStore(root).locate(run)]


def damage(root: Path, step: int) -> None:
    path = in_store(root / "r" / f"step-{step:08d}" / "rng" / "rng.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")


@pytest.mark.on_disk("other processes hold the run")
class TestHold:
    @pytest.mark.parametrize("take", [PREPARE, OBSERVE, HOLD])
    def test_the_second_process_ends_at_once_and_says_who_holds_the_run(self, tmp_path: Path, take: str) -> None:
        with training(tmp_path, take) as first:
            assert line(first) == "holds"
            done = second(tmp_path, take)
            assert done.returncode == 1
            message, hint, code = done.stderr.strip().split(" | ")
            assert message.startswith(f"r: is being written by process {first.pid} on ")
            assert f"{sys.executable} -c import subprocess" in message.replace("\\n", " ")
            assert hint.startswith(f"let it end, stop it (kill {first.pid}), or give this training another run name")
            assert code == "11"
            note = json.loads((tmp_path / "r/.ckptkit/writer.lock").read_bytes())
            assert (note["pid"], sorted(note)) == (first.pid, ["command", "host", "pid", "started"])

    def test_another_run_of_the_store_is_free(self, tmp_path: Path) -> None:
        with training(tmp_path) as first:
            assert line(first) == "holds"
            CheckpointStore(tmp_path).prepare("r2")

    def test_a_killed_training_lets_go_though_its_workers_live_on(self, tmp_path: Path) -> None:
        with training(tmp_path, then=WORKERS) as first:
            orphans = [int(word) for word in line(first).split()]
            assert line(first) == "holds"
            try:
                assert second(tmp_path).returncode == 1
                first.send_signal(signal.SIGKILL)
                first.wait()
                for pid in orphans:
                    os.kill(pid, 0)  # alive
                assert second(tmp_path).returncode == 0
            finally:
                for pid in orphans:
                    os.kill(pid, signal.SIGKILL)

    def test_it_is_held_again_by_everything_of_one_process(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        for _ in range(2):
            store.prepare("r")
            store.observe("r")
            CheckpointStore(str(tmp_path)).hold("r")
        assert second(tmp_path).returncode == 1

    def test_it_can_be_let_go_before_the_process_ends(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        store.prepare("r")
        store.release("r")
        store.release("r")  # not held: nothing happens
        with training(tmp_path) as other:
            assert line(other) == "holds"
            with pytest.raises(LockedError, match=f"process {other.pid}"):
                store.prepare("r")

    def test_a_forked_child_that_trains_the_same_run_is_another_process(self, tmp_path: Path) -> None:
        with training(tmp_path, then=CHILD) as parent:
            assert line(parent) == "11"
            assert line(parent) == "holds"
            assert second(tmp_path).returncode == 1  # and the child took nothing from its parent

    def test_a_removed_run_folder_is_forgotten(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        store.prepare("r")
        shutil.rmtree(tmp_path / "r")
        before = len(holds._held)
        store.prepare("r")
        assert len(holds._held) == before
        assert second(tmp_path).returncode == 1

    def test_secrets_of_the_command_line_are_not_written_down(self, tmp_path: Path) -> None:
        words = [*program(), str(tmp_path), "--api-key", "abcdef123456"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / "r/.ckptkit/writer.lock").read_text()
        assert "--api-key" in text
        assert "abcdef123456" not in text

    def test_plain_saves_and_the_command_line_ask_for_no_hold(self, tmp_path: Path) -> None:
        with training(tmp_path) as first:
            assert line(first) == "holds"
            saved(tmp_path, 1, 2)
            store = CheckpointStore(tmp_path)
            assert store.verify("r").exit_code == 0
            assert store.choose("r").manifest.step == 2


class TestGoingBack:
    def test_a_fresh_start_into_a_run_with_checkpoints_is_refused_before_the_first_step(self, tmp_path: Path) -> None:
        store = saved(tmp_path, 1, 2)
        with pytest.raises(ConflictError, match=r"r: has checkpoints already \(steps 1, 2\)") as caught:
            store.prepare("r")
        assert caught.value.exit_code == 6
        for way in ("resume-cmd r", "another run name", "--replace-newer"):
            assert way in caught.value.hint
        assert steps(tmp_path) == [1, 2]

    def test_going_on_from_the_newest_is_free(self, tmp_path: Path) -> None:
        saved(tmp_path, 1, 2)
        store = CheckpointStore(tmp_path)
        store.restore("r", into={"rng": rng()})
        assert store.prepare("r") == ()
        store.save("r", 3, {"rng": rng()})

    def test_going_on_from_an_older_one_is_refused_by_the_same_rule(self, tmp_path: Path) -> None:
        saved(tmp_path, 1, 2, 3)
        store = CheckpointStore(tmp_path)
        store.restore("r@1", into={"rng": rng()})
        with pytest.raises(ConflictError, match=r"r: has newer checkpoints \(steps 2, 3\) than step 1"):
            store.prepare("r")
        with pytest.raises(ConflictError, match="than step 2"):
            store.prepare("r", after=2)
        assert steps(tmp_path) == [1, 2, 3]

    def test_the_first_way_out_is_a_new_run_that_names_its_parent(self, tmp_path: Path) -> None:
        saved(tmp_path, 1, 2, 3)
        store = CheckpointStore(tmp_path)
        store.restore("r@1", into={"rng": rng()})
        store.prepare("trial", after="r@1")
        manifest = store.save("trial", 2, {"rng": rng()}).manifest
        assert manifest.parent is not None
        assert (manifest.parent.run, manifest.parent.step) == ("r", 1)

    def test_the_second_way_out_moves_the_newer_ones_to_the_trash(self, tmp_path: Path) -> None:
        saved(tmp_path, 1, 2, 3)
        damage(tmp_path, 2)
        store = CheckpointStore(tmp_path)
        store.restore("r@1", into={"rng": rng()})
        assert [at.step for at in store.prepare("r", replace_newer=True)] == [2, 3]
        assert steps(tmp_path) == [1]
        store.save("r", 2, {"rng": rng()})
        store.undelete("r@3")
        assert steps(tmp_path) == [1, 2, 3]

    def test_a_pinned_one_is_not_moved(self, tmp_path: Path) -> None:
        store = saved(tmp_path, 1, 2, 3)
        store.pin("r@2")
        with pytest.raises(ProtectedError, match="r@2: is pinned"):
            store.prepare("r", after=1, replace_newer=True)
        assert steps(tmp_path) == [1, 2, 3]

    def test_damaged_newer_ones_never_block(self, tmp_path: Path) -> None:
        saved(tmp_path, 1, 2, 3)
        damage(tmp_path, 2), damage(tmp_path, 3)
        store = CheckpointStore(tmp_path)
        store.restore("r", into={"rng": rng()})
        store.prepare("r")
        store.save("r", 2, {"rng": rng()})
        saved(tmp_path, 1, run="all-bad")
        in_store(tmp_path / "all-bad/step-00000001/rng/rng.json").write_text("{}")
        with pytest.raises(NothingResumableError):
            store.choose("all-bad")
        store.prepare("all-bad")

    @FLAT
    def test_flat_files_of_a_sidecar_are_moved_and_shared_ones_stay(self, tmp_path: Path) -> None:
        import safetensors.numpy

        store, folder = CheckpointStore(tmp_path), tmp_path / "flat"
        folder.mkdir()
        for step in (10, 20):
            safetensors.numpy.save_file({"w": np.full(4, float(step))}, folder / f"ep{step}.safetensors")
            store.adopt_in_place("flat", f"ep{step}", {"weights": folder / f"ep{step}.safetensors"})
        store.prepare("flat", after=10, replace_newer=True)
        assert sorted(p.name for p in folder.iterdir() if p.is_file()) == ["ep10.manifest.json", "ep10.safetensors"]

    @FLAT
    def test_a_damaged_sidecar_makes_room_when_its_step_is_reached_again(self, tmp_path: Path) -> None:
        import safetensors.numpy

        store, file = CheckpointStore(tmp_path), tmp_path / "flat/ep10.safetensors"
        file.parent.mkdir()
        safetensors.numpy.save_file({"w": np.zeros(4)}, file)
        store.adopt_in_place("flat", "ep10", {"weights": file})
        safetensors.numpy.save_file({"w": np.ones(4)}, file)  # the trainer wrote again, after a fallback
        store.adopt_in_place("flat", "ep10", {"weights": file})
        assert store.verify("flat").exit_code == 0

    @pytest.mark.parametrize("after", [-2, True, 10**13, "r", "r@latest"])
    def test_what_is_no_step_is_refused(self, tmp_path: Path, after: Any) -> None:
        with pytest.raises(UsageError):
            CheckpointStore(tmp_path).prepare("r", after=after)


@pytest.mark.on_disk("the probe writes, flushes and renames files")
class TestProbe:
    def test_a_file_in_the_way_is_told_before_the_first_step(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError) as caught:
            CheckpointStore(tmp_path / "file" / "checkpoints").prepare("r")
        assert caught.value.message == (
            f"{tmp_path}/file/checkpoints/r: no checkpoint can be saved here ({tmp_path}/file: is a file, not a folder)"
        )
        assert caught.value.exit_code == 10
        assert caught.value.hint.startswith("choose another folder")

    def test_a_place_where_nobody_may_write_is_told(self) -> None:
        with pytest.raises(StoreError, match=r"no checkpoint can be saved here \(/proc/nothing: No such file"):
            CheckpointStore("/proc/nothing").prepare("r")

    def test_a_run_folder_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "r").write_text("")
        with pytest.raises(StoreError, match="is a file, not a folder"):
            CheckpointStore(tmp_path).prepare("r")

    def test_a_folder_without_the_right_to_write_is_told(self) -> None:
        with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
            root = Path(place)
            root.chmod(0o755)
            (root / "r").mkdir(mode=0o555)
            done = subprocess.run([sys.executable, "-c", NOBODY, root], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        reason = f"{root}/r/.ckptkit: Permission denied"
        assert done.stdout == f"{root}/r: no checkpoint can be saved here ({reason})\n"

    def test_a_checkpoint_that_will_not_fit_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = saved(tmp_path, 1)
        usage = type("Usage", (), {"free": 100})
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(StoreError, match="are missing; nothing was written"):
            store.prepare("r", after=1)

    def test_nothing_is_left_of_the_probe(self, tmp_path: Path) -> None:
        store = CheckpointStore(tmp_path)
        store.prepare("new/run")
        folder = tmp_path / "new/run"
        assert [p.name for p in folder.iterdir()] == [".ckptkit"]
        assert sorted(p.name for p in (folder / ".ckptkit").iterdir()) == ["staging", "writer.lock"]
        assert not list((folder / ".ckptkit/staging").iterdir())
        assert list(store.list()) == []
