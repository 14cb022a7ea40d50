"""Where the GMM example is, and how it is started, killed and resumed as a person would."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gmm_data_state"
CKPTKIT = Path(sys.executable).with_name("ckptkit")
sys.path.insert(0, str(EXAMPLE))

SMALL = Path(__file__).with_name("gmm_small.yaml")

KILLER = """\
import os, runpy, signal, sys
event, mark, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
def hook(name, args):
    global count
    if name == "open" and args[2] & os.O_CREAT:
        name = "create"
    if name == event and any(mark in str(a) for a in args):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = sys.argv[4:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program and kills it at the count-th time that an audit event, or ``create``, mentions a word."""


def command(folder: Path, *more: str) -> list[str]:
    """Return the arguments after ``python`` that train the small configuration in a folder."""
    return [str(EXAMPLE / "train.py"), "--config", str(SMALL), "--experiment-dir", str(folder), *more]


def train(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """Run the program."""
    return subprocess.run([sys.executable, *command(folder, *more)], capture_output=True, text=True, timeout=120)


def ckptkit(store: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    return subprocess.run([CKPTKIT, "--store", store, *words], capture_output=True, text=True, timeout=120)


def digest_in(output: str) -> str:
    """Return the digest that a run ended with."""
    return next(line.removeprefix("digest ") for line in output.splitlines() if line.startswith("digest "))


def steps_of(folder: Path) -> list[int]:
    """Return the steps that the command line lists."""
    done = ckptkit(folder.parent, "list", f"{folder.name}/checkpoints")
    return [int(line.split("\t")[1]) for line in done.stdout.splitlines()[1:]]
