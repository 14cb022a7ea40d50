"""The policy example in a folder of its own, a finished run of it, and what its tests do with them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from ckptkit_numpy import GlobalRng
from safetensors.torch import load_file, save_file

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "lerobot_policy"
CKPTKIT = Path(sys.executable).with_name("ckptkit")
RUN, ID = "my_training_run", "ISdept/piper_arm"
DRAWN = ["optimizer_state.pth", "policy.safetensors", "postprocessor_config.json", "preprocessor_config.json"]
MODULES = ("train", "training", "policy", "dataset", "config", "checkpoints")
KILLER = """\
import os, runpy, signal, sys
event, mark, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def hook(name, args):
    global count
    if name == event and any(mark in str(a) for a in args):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[4:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and kills it at the count-th time that an audit event mentions a word."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with a smaller configuration: the documented command lines run in it as they are."""
    folder = tmp_path_factory.mktemp("example") / "lerobot_policy"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "outputs", "__pycache__"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"steps": 50, "save_every": 10, "log_every": 10, "eval_episodes": 1}
    config["policy"] |= {"hidden": 16, "diffusion_steps": 4}
    config["data"]["batch_size"] = 256  # 15 batches in an epoch
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def code(program: Path) -> Iterator[SimpleNamespace]:
    """The modules of the example, imported; other examples have modules of the same names."""
    before = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(program / "src"))
    threads = torch.get_num_threads()
    with GlobalRng():
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    torch.set_num_threads(threads)
    sys.path.remove(str(program / "src"))
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture(scope="module")
def whole(program: Path) -> str:
    """The digest of a run that was never interrupted, started from scratch as documented."""
    line = f"python src/train.py --output_dir ./outputs/{RUN} --dataset_id {ID}"
    done = subprocess.run(line, shell=True, cwd=program, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"note: data/{ID} is not there, and nothing is downloaded")
    return digest_in(done.stdout)


Train = Callable[..., dict[str, Any]]


@pytest.fixture
def here(program: Path, whole: str, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, in a store of its own."""
    shutil.copytree(program / "outputs", tmp_path / "outputs")
    return tmp_path / "outputs" / RUN


@pytest.fixture
def train(code: SimpleNamespace, program: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """``train`` of the example, in the folder of the example."""
    monkeypatch.chdir(program)
    return lambda output_dir=here, dataset_id=ID, **more: code.train.train(output_dir, dataset_id, **more)


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def digest_in(output: str) -> str:
    return next(line.removeprefix("digest ") for line in output.splitlines() if line.startswith("digest "))


def ckptkit(store: Path, *words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([CKPTKIT, "--store", store, *words], capture_output=True, text=True, timeout=60, cwd=cwd)


def listed(store: Path) -> list[int]:
    return [int(line.split("\t")[1]) for line in ckptkit(store, "list").stdout.splitlines()[1:]]


def keep_until(run: Path, step: int) -> Path:
    """Remove the checkpoints after a step, as if the run had been killed there; return the last one left."""
    for later in range(step + 10, 51, 10):
        shutil.rmtree(run / f"checkpoint-{later}")
    return run / f"checkpoint-{step}"


def as_older_trainer_left_it(run: Path, step: int) -> Path:
    """Replace the run by one checkpoint of the four drawn files, written with torch and safetensors alone."""
    old = run / f"checkpoint-{step}"
    weights, optimizer = load_file(old / "policy.safetensors"), torch.load(old / "optimizer_state.pth")
    configs = {name: (old / name).read_bytes() for name in DRAWN[2:]}
    shutil.rmtree(run)
    old.mkdir(parents=True)
    save_file(weights, old / "policy.safetensors")
    for group in optimizer["param_groups"]:
        del group["initial_lr"]  # what a schedule leaves there
    torch.save(optimizer, old / "optimizer_state.pth")
    for name, content in configs.items():
        (old / name).write_bytes(content)
    return old
