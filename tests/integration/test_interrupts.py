"""Ctrl-C wherever a command touches the disk: one true line, exit 130, nothing left behind, and a rerun works."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from launched import interruptible

# How many points there must be at least: fewer would mean that the counting is broken.
LEAST = {"save": 80, "replace": 80, "restore": 40, "prune": 50, "verify": 30, "copy": 100}


def points(commands: Iterable[str], folder: Path, stride: int) -> dict[str, int]:
    script = Path(__file__).with_name("interrupt_points.py")
    words = interruptible([sys.executable, script, folder, str(stride), *commands])
    done = subprocess.run(words, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {command: one["broken"] for command, one in result.items() if one["broken"]} == {}
    return {command: one["points"] * stride for command, one in result.items()}


def test_what_is_said_after_ctrl_c_is_so(tmp_path: Path) -> None:
    tried = points(LEAST, tmp_path, stride=19)
    assert all(tried[command] >= LEAST[command] - 19 for command in LEAST), tried


@pytest.mark.matrix
@pytest.mark.parametrize("command", LEAST)
def test_it_is_so_at_every_point(tmp_path: Path, command: str) -> None:
    assert points([command], tmp_path, stride=1)[command] >= LEAST[command]


def test_an_early_ctrl_c_is_one_line_too(tmp_path: Path) -> None:
    """While the program is still being imported, which takes the longest part of most commands."""
    early = (
        "import os, signal, sys\n"
        "class Press:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ckptkit.cli.commands': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        "from ckptkit.__main__ import run\n"
        "run()\n"
    )
    command = interruptible([sys.executable, "-c", early, "list"])
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted, nothing was changed\n")


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it(tmp_path: Path) -> None:
    """`nohup`, or a job that a script started in the background: what it inherits stays."""
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from ckptkit.cli import interrupts\n"
        "interrupts.install()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "still here\n", done.stderr


def test_a_second_ctrl_c_does_not_stop_what_undoes_things() -> None:
    script = (
        "import os, signal\n"
        "from ckptkit.cli import interrupts\n"
        "interrupts.install()\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except interrupts.Interrupted:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('undone')\n"
    )
    done = subprocess.run(interruptible([sys.executable, "-c", script]), capture_output=True, text=True)
    assert done.stdout == "undone\n", done.stderr
