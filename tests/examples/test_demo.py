"""The demo as a person runs it, and its run resumed from every one of its save points."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("a demo")
    done = subprocess.run([sys.executable, DEMO / "demo.py"], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "cudart" not in done.stderr  # a person reads it as an error
    return folder / "demo-output", done.stdout


def test_the_demo_ends_with_equal_digests(told: tuple[Path, str]) -> None:
    _, output = told
    assert "DEMO PASSED" in output
    assert "EQUAL" in output


@pytest.mark.matrix
def test_the_demo_is_the_same_on_an_s3_server_that_it_starts_and_stops(tmp_path: Path) -> None:
    command = [sys.executable, DEMO / "demo_s3.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for told in ("$ ckptkit --store s3://", "(killed with SIGKILL", "EQUAL", "DEMO PASSED", "The server is stopped"):
        assert told in done.stdout


@pytest.mark.parametrize("step", [80, *(pytest.param(step, marks=pytest.mark.matrix) for step in (40, 120, 160))])
def test_the_run_is_exact_from_each_save_point(told: tuple[Path, str], tmp_path: Path, step: int) -> None:
    folder, output = told
    expected = next(line for line in output.splitlines() if line.startswith("digest "))
    checkpoint = folder / "checkpoints/demo/whole" / f"step-{step:08d}"
    shutil.copytree(checkpoint, tmp_path / "store/demo/copy" / checkpoint.name)
    command = [sys.executable, DEMO / "train.py", "--store", tmp_path / "store", "--run", "demo/copy"]
    command += ["--data", folder / "episodes", "--resume", f"demo/copy@{step}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert expected in done.stdout
