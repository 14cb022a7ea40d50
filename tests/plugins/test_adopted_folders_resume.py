"""The README's own template, run as printed: a Trainer and accelerate go on bit-identical from an adopted folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import inside as ckptkit

PROGRAM = Path(__file__).with_name("tiny_trainers.py")


def digest_of(*command: str, shell: bool = False, cwd: Path) -> str:
    done = subprocess.run(
        command[0] if shell else command, shell=shell, cwd=cwd, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("trainer", ["hf", pytest.param("accelerate", marks=pytest.mark.matrix)])
def test_the_printed_command_resumes_a_real_trainer(trainer: str, tmp_path: Path) -> None:
    shutil.copy(PROGRAM, tmp_path / "train.py")
    whole = digest_of(sys.executable, "train.py", trainer, "--out", "out", cwd=tmp_path)
    words = ["save", "r", "--step", "4", "model=out/checkpoint-4"]
    template = ["--resume", f"python train.py {trainer} --out again --resume {{path}}"]
    for run, flat in (("deep", []), ("flat", ["--flat"])):
        words[1] = run
        done = ckptkit(*words, *template, *flat, store=Path("my ckpts"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "out")  # as save_total_limit would
    for run in ("deep", "flat"):
        line = ckptkit("resume-cmd", run, store=tmp_path / "my ckpts").stdout
        assert digest_of(line, shell=True, cwd=Path("/")) == whole, line
