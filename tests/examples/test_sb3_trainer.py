"""The SB3 trainer: killed, resumed by the printed command, and ending where an uninterrupted run ends."""

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sb3_trainer"
sys.path.insert(0, str(EXAMPLE))

from training.agent import build_model, digest, make_env  # noqa: E402  # the example is no installed package
from training.checkpoints import list_checkpoints, load_checkpoint  # noqa: E402
from training.config import MODES, ConfigMismatchError, combined, read_yaml  # noqa: E402
from training.run import Event  # noqa: E402
from training.trainer import arguments, train  # noqa: E402

from ckptkit import CheckpointStore  # noqa: E402
from ckptkit.errors import ConflictError, DiskFullError, InconsistentSetError, UsageError  # noqa: E402

CKPTKIT = Path(sys.executable).with_name("ckptkit")
SMALL: dict[str, Any] = {
    "total_timesteps": 1200,
    "checkpoint_interval_episodes": 10,
    "agent_kwargs": {"n_steps": 256, "n_epochs": 2},
}
DQN: dict[str, Any] = {
    "algorithm": "dqn",
    "total_timesteps": 600,
    "checkpoint_interval_episodes": 8,
    "agent_kwargs": {"learning_starts": 100, "buffer_size": 2000},
}
KILLER = """\
import os, runpy, signal, sys
event, mark = sys.argv[1:3]
def hook(name, args):
    if name == event and any(str(a).endswith(mark) for a in args):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and kills it at the first audit event of which an argument ends in a word."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(folder: Path, run_id: str, fields: Mapping[str, Any] = SMALL, **more: Any) -> str:
    """Train in this process; return the digest."""
    _, model = train({"checkpoint_dir": str(folder), "run_id": run_id, **fields}, **more)
    return digest(model)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The store and the digest of a run that was never interrupted; all its checkpoints are there."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    return folder, run(folder, "whole", {**SMALL, "keep_last_n_checkpoints": 99})


@pytest.fixture
def copied(whole: tuple[Path, str], tmp_path: Path) -> Path:
    """The same store, to be damaged."""
    subprocess.run(["cp", "-r", whole[0], tmp_path / "checkpoints"], check=True)
    return tmp_path / "checkpoints"


def ckptkit(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    return subprocess.run([CKPTKIT, "--store", store, *words], capture_output=True, text=True, timeout=120)


def episodes(store: Path, run_id: str) -> list[int]:
    """Return the episodes of a run's checkpoints."""
    return [int(path.stem[2:]) for path in list_checkpoints(store, run_id=run_id, agent_id="ppo_agent")]


def killed_at(event: str, mark: str, words: list[str]) -> None:
    """Run a program, which gets killed with SIGKILL."""
    command = [sys.executable, "-c", KILLER, event, mark, *words]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_run_killed_twice_in_a_save_and_resumed_as_printed_ends_as_if_nothing_had_been(
    whole: tuple[Path, str], tmp_path: Path
) -> None:
    store, config = tmp_path / "checkpoints", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**SMALL, "checkpoint_dir": str(store)}))

    # Killed when all files of a save but the zip were in place.
    killed_at("os.rename", "ep000030.zip", ["training/trainer.py", "--config", str(config), "--run-id", "run123"])
    folder = store / "ppo_agent/run123"
    assert (folder / "ep000030_metadata.json").exists()
    assert episodes(store, "run123") == [10, 20]
    assert ckptkit(store, "verify", "ppo_agent/run123").returncode == 0

    # Killed when the zip was in place too, but nothing was committed.
    line = ckptkit(store, "resume-cmd", "ppo_agent/run123", "--", "--run-id", "second").stdout.strip()
    assert f"training/trainer.py --resume-from-checkpoint {folder / 'ep000020.zip'}" in line
    killed_at("os.link", "ep000040.manifest.json", shlex.split(line.rpartition("&& ")[2])[1:])
    assert (store / "ppo_agent/second/ep000040.zip").exists()
    assert episodes(store, "second") == [30]
    assert ckptkit(store, "verify").returncode == 0

    line = ckptkit(store, "resume-cmd", "ppo_agent/second").stdout.strip()
    done = subprocess.run(line, shell=True, cwd=EXAMPLE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"digest {whole[1]}"
    third = next(p for p in (store / "ppo_agent").iterdir() if p.name not in ("run123", "second"))
    manifest = json.loads(next(third.glob("*.manifest.json")).read_text())
    assert manifest["parent"] == {"run": "ppo_agent/second", "step": 30}


def test_resuming_from_every_checkpoint_ends_the_same(whole: tuple[Path, str], tmp_path: Path) -> None:
    store, expected = whole
    for path in list_checkpoints(store, "whole", "ppo_agent"):
        fields = {"checkpoint_dir": str(tmp_path), "run_id": path.stem, "resume_from_checkpoint": str(path)}
        assert digest(train(fields)[1]) == expected, path
