"""The GMM example is killed, resumed by the printed command, and ends where an uninterrupted run ends."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ckptkit_numpy import NumpyRngBackend
from gmm_example import KILLER, ckptkit, command, digest_in, steps_of, train

from ckptkit import CheckpointStore
from ckptkit.backend import LoadContext, Proof
from ckptkit.store import rehearsal
from ckptkit.verification.report import AS_THE_RUN


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the digest of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "first"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder, digest_in(done.stdout)


def killed_at(event: str, mark: str, count: int, words: list[str]) -> None:
    """Run a program and kill it with SIGKILL at the count-th event that mentions a word."""
    done = subprocess.run([sys.executable, "-c", KILLER, event, mark, str(count), *words], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def killed_after(line: str, words: str) -> None:
    """Run a command line and kill it with SIGKILL when it has printed a line, while it goes on training."""
    alone = words.replace("&& ", "&& exec ", 1) if "&& " in words else f"exec {words}"
    process = subprocess.Popen(alone, shell=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(text.startswith(line) for text in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def position_in(folder: Path) -> tuple[int, int]:
    """Return epoch and batch in the state file beside the checkpoints."""
    counters = json.loads((folder / "data_state.json").read_text())["loader_state"]
    return counters["current_epoch"], counters["current_batch"]


def test_a_run_killed_three_times_and_resumed_as_printed_ends_as_if_nothing_had_been(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "first"

    def resume_command() -> str:
        return ckptkit(tmp_path, "resume-cmd", "first/checkpoints").stdout.strip()

    # Killed when half of a save was written. The state file beside the checkpoints was ahead of them already.
    killed_at("create", "checkpoint/validation/validation_state.json", 3, command(folder))
    assert any((folder / "checkpoints/.ckptkit/staging").glob("*/checkpoint/data/data_state.json"))
    assert (steps_of(folder), position_in(folder)) == ([8, 16], (2, 4))
    assert ckptkit(tmp_path, "verify", "first/checkpoints").returncode == 0

    # Killed when a save was written, but not committed.
    line = resume_command()
    assert line.endswith("--resume 16")
    killed_at("os.rename", "step-00000032", 1, shlex.split(line.rpartition("&& ")[2])[1:])
    assert (steps_of(folder), position_in(folder)) == ([8, 16, 24], (3, 2))

    # Killed while it trained; and then its newest checkpoint is damaged.
    line = resume_command()
    assert line.endswith("--resume 24")
    killed_after("step    40", line)
    newest = steps_of(folder)[-1]
    damaged = folder / f"checkpoints/step-{newest:08d}/data/data_state.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"current_batch": ', b'"current_batch": 1'))
    assert ckptkit(tmp_path, "verify", f"first/checkpoints@{newest}").returncode == 1

    line = resume_command()
    assert line.endswith(f"--resume {newest - 8}")
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"resumed first/checkpoints@{newest - 8}\n"), done.stderr
    assert digest_in(done.stdout) == whole[1]
    assert steps_of(folder) == [8, 16, 24, 32, 40, 48, 50]
    assert ckptkit(tmp_path, "verify", "first/checkpoints").returncode == 0
    for name in ("data_state.json", "validation_state.json"):
        assert (folder / name).read_bytes() == (whole[0] / name).read_bytes()


def test_the_proof_of_the_streams_replays(whole: tuple[Path, str]) -> None:
    chosen = CheckpointStore(whole[0].parent).choose("first/checkpoints@24")
    context = LoadContext(["rng.json"], probe=chosen.manifest.items["streams"].probe)
    assert NumpyRngBackend().prove(chosen.at.folder / "streams", context=context).verdict == "same"


def test_a_resume_is_proven_by_a_rehearsal(whole: tuple[Path, str]) -> None:
    store = CheckpointStore(whole[0].parent)
    done = rehearsal.rehearse(store.storage, store.choose("first/checkpoints@24"), steps=4)
    assert done.proof == Proof("same", steps=4, of=AS_THE_RUN)
    assert store.verify("first/checkpoints").exit_code == 0
