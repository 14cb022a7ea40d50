"""The SB3 trainer in trouble: a folder that cannot be written, a second training, a full disk, a failing save."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sb3_example import EXAMPLE, SMALL, run

from ckptkit import CheckpointStore


def test_a_folder_that_cannot_be_written_is_told_before_training() -> None:
    words = [sys.executable, "training/trainer.py", "--checkpoint-dir", "/proc/nothing"]
    done = subprocess.run(words, cwd=EXAMPLE, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (10, "")
    first, hint = done.stderr.splitlines()
    assert first.startswith("error: /proc/nothing/ppo_agent/")
    assert "no checkpoint can be saved here" in first
    assert hint.startswith("  choose another folder")


def test_the_second_training_of_one_run_ends_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "training/trainer.py", "--checkpoint-dir", str(tmp_path), "--run-id", "both"]
    with subprocess.Popen([*words, "--total-timesteps", "1000000"], cwd=EXAMPLE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith(b"saved ")
        done = subprocess.run([*words, "--env-id", "Acrobot-v1"], cwd=EXAMPLE, capture_output=True, text=True)
        first.kill()
    assert (done.returncode, done.stdout) == (11, "")
    assert done.stderr.startswith(f"error: ppo_agent/both: is being written by process {first.pid} on ")
    assert "training/trainer.py" in done.stderr


FULL = """\
import resource, sys
from training.trainer import main
def fill(event):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main([fill]))
"""
"""Fills the disk after the first save: beyond the limit writes fail with EFBIG, as with ENOSPC on a full one."""


def test_a_full_disk_stops_with_advice_and_leaves_what_was_there(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**SMALL, "checkpoint_dir": str(tmp_path / "checkpoints")}))
    words = [sys.executable, "-c", FULL, "--config", str(config), "--run-id", "run1"]
    done = subprocess.run(words, cwd=EXAMPLE, capture_output=True, text=True)
    assert done.returncode == 10
    assert "no room for another checkpoint\n  reduce keep_last_n_checkpoints" in done.stderr
    folder = tmp_path / "checkpoints/ppo_agent/run1"
    assert [p.name for p in folder.glob("ep*.zip")] == ["ep000010.zip"]
    assert not list((folder / ".ckptkit/staging").iterdir())
    assert CheckpointStore(tmp_path / "checkpoints").verify("ppo_agent/run1").exit_code == 0


def test_a_save_that_fails_at_any_file_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for count in range(1, 5):
        calls = iter(range(1, 100))

        def failing(source: Path, target: Path, calls: Iterator[int] = calls, count: int = count) -> None:
            if next(calls) == count:
                raise OSError(5, "Input/output error")
            os.rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr("ckptkit_hooks.sb3_episodes.os.replace", failing)
            with pytest.raises(OSError, match="Input/output error"):
                run(tmp_path, f"run{count}", {**SMALL, "total_timesteps": 300})
        assert not list((tmp_path / f"ppo_agent/run{count}").glob("ep*"))


def test_the_program_tells_an_error_in_a_line(tmp_path: Path) -> None:
    words = [sys.executable, "training/trainer.py", "--resume-from-checkpoint", str(tmp_path / "ep000001.zip")]
    done = subprocess.run(words, cwd=EXAMPLE, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"FileNotFoundError: Checkpoint not found: {tmp_path / 'ep000001.zip'}\n"
