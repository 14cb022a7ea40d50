"""The GMM example is killed, resumed by the printed command, and ends where an uninterrupted run ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gmm_example import KILLER, ckptkit, command, digest_in, steps_of, train

ALL = [8, 16, 24, 32, 40, 48, 50]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the digest of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "first"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder, digest_in(done.stdout)


def resumed_as_printed(folder: Path) -> str:
    """Run what ``ckptkit resume-cmd`` prints, and return its output."""
    line = ckptkit(folder.parent, "resume-cmd", f"{folder.name}/checkpoints").stdout
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, line + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("event", "mark", "count"),
    [("os.rename", "step-00000024", 1), ("shutil.copyfile", "validation_state.json", 3)],
    ids=["all written, not committed", "half written"],
)
def test_a_run_killed_in_the_middle_of_a_save_ends_with_the_same_digest(
    whole: tuple[Path, str], tmp_path: Path, event: str, mark: str, count: int
) -> None:
    folder = tmp_path / "first"
    killed = subprocess.run(
        [sys.executable, "-c", KILLER, event, mark, str(count), *command(folder)], capture_output=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    assert any((folder / "checkpoints/.ckptkit/staging").glob("*/checkpoint/*/*"))
    # The state file beside the checkpoints is ahead of the newest one: the copy in the checkpoint counts.
    assert json.loads((folder / "data_state.json").read_text())["loader_state"]["current_epoch"] == 2
    assert steps_of(folder) == [8, 16]
    assert ckptkit(tmp_path, "verify", "first/checkpoints").returncode == 0
    output = resumed_as_printed(folder)
    assert output.startswith("resumed first/checkpoints@16\n")
    assert digest_in(output) == whole[1]
    assert steps_of(folder) == ALL


def test_a_run_killed_while_it_trains_steps_over_a_damaged_checkpoint_and_ends_the_same(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "first"
    process = subprocess.Popen([sys.executable, *command(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step    24"):
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    newest = steps_of(folder)[-1]
    damaged = folder / f"checkpoints/step-{newest:08d}/data/data_state.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"current_batch": ', b'"current_batch": 1'))
    assert ckptkit(tmp_path, "verify", f"first/checkpoints@{newest}").returncode == 1
    done = train(folder, "--resume")
    assert f"resumed first/checkpoints@{newest - 8}\n" in done.stdout
    assert f"note: first/checkpoints@{newest} is not resumed from: data/data_state.json" in done.stderr
    assert digest_in(done.stdout) == whole[1]
    for name in ("data_state.json", "validation_state.json"):
        assert (folder / name).read_bytes() == (whole[0] / name).read_bytes()


def test_a_checkpoint_is_all_that_is_needed_so_its_resume_can_be_rehearsed(whole: tuple[Path, str]) -> None:
    words = ("verify", "first/checkpoints@40", "--level", "resume", "--steps", "8", "--format", "json")
    done = ckptkit(whole[0].parent, *words)
    proofs = json.loads(done.stdout)["checkpoints"][0]["proofs"]
    assert proofs["(run)"]["verdict"] == proofs["streams"]["verdict"] == proofs["rng"]["verdict"] == "exact", proofs
