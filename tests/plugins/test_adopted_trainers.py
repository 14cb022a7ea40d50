"""Each trainer: found, judged, verified, and resumed by its own framework from the command that is printed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import killed_in_save
import pytest
import resumed_by_trainers
from command_line import inside
from foreign_files import tree

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix
PROGRAM = resumed_by_trainers.__file__
NAMES = [train.__name__ for train in resumed_by_trainers.ALL]
WORDS = {"accelerate": ("{path}", "{step}"), "keras": ("{path}", "{step}")}
STEPS = {"keras": 4}  # it saves each epoch, and these have one update each


def said(command: list[str] | str) -> dict[str, list[str]]:
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    shell = isinstance(command, str)
    done = subprocess.run(command, shell=shell, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in ("began", "ended")}


def train(name: str, out: Path, steps: int, *more: str) -> dict[str, list[str]]:
    return said([sys.executable, PROGRAM, name, str(out), str(steps), *more])


@pytest.fixture(scope="module", params=NAMES)
def adopted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Return what a trainer wrote in eight steps, adopted as a newcomer does it; in a folder beside a configuration."""
    name = request.param
    root = tmp_path_factory.mktemp(name)
    train(name, root / "out", 8)
    before = tree(root / "out")
    done = inside("adopt", root / "out")
    assert done.returncode == 0, done.stderr
    assert tree(root / "out") == before
    return name, root


def test_it_is_found_verified_and_goes_on_from_the_printed_command(adopted: tuple[str, Path], tmp_path: Path) -> None:
    name, root = adopted
    store = CheckpointStore(root / "out")
    assert store.verify().exit_code == 0
    steps = [at.step for at in store.locate(".")]
    assert steps[-2:] == [7, 8] if name == "keras" else steps == [4, 8]
    assert {store.manifest(at).trainer for at in store.locate(".")} == {name}
    words = [sys.executable, PROGRAM, name, str(tmp_path / "on"), "12", *WORDS.get(name, ("{path}",))]
    (tmp_path / "ckptkit.yaml").write_text(f"trainers:\n  {name}: {shlex.join(words)!r}\n".replace("'\"'\"'", ""))
    done = inside("resume-cmd", ".@4", store=root / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    went_on = said(done.stdout)
    assert went_on["began"][0] == "4"
    straight = train(name, tmp_path / "straight", 12)
    assert went_on["ended"] == straight["ended"], "the same weights as of a training that was never interrupted"


def test_pruned_and_taken_back_all_of_it_is_the_same(adopted: tuple[str, Path]) -> None:
    name, root = adopted
    out = root / "out"
    before = tree(out)
    assert inside("pin", ".@4", store=out).returncode == 0
    assert inside("tag", ".@4", "mine", store=out).returncode == 0
    assert inside("unpin", ".@4", store=out).returncode == 0
    assert inside("prune", ".", "--keep-last", "1", "--apply", store=out).returncode == 0
    assert [at.step for at in CheckpointStore(out).locate()] == [8]
    for step in range(1, 8) if name == "keras" else (4,):
        assert inside("undelete", f".@{step}", store=out).returncode == 0
    assert tree(out) == before
    assert inside("verify", store=out).returncode == 0
    assert inside("show", ".@latest", store=out).returncode == 0
    assert inside("restore", ".@4", root / "copy", store=out).returncode == 0
    assert inside("list", ".", store=out).stdout.count("\n") == len(list(CheckpointStore(out).locate())) + 1


@pytest.mark.parametrize(
    ("case", "whole", "half"),
    [
        ("hugging_face:model", 4, "checkpoint-8"),
        ("hugging_face:optimizer", 4, "checkpoint-8"),
        ("hugging_face:state", 4, "checkpoint-8"),
        ("lightning:move", 2, "epoch=1-step=4.ckpt"),
        ("sb3:zip", 4, "rl_model_8_steps.zip"),
        ("sb3:buffer", 4, "rl_model_8_steps.zip"),
        ("sb3:between", 4, "rl_model_8_steps.zip"),
    ],
)
def test_of_a_trainer_that_was_killed_in_its_save_the_older_one_is_resumed_from(
    case: str, whole: int, half: str, tmp_path: Path
) -> None:
    command = [sys.executable, killed_in_save.__file__, case, str(tmp_path)]
    subprocess.run(command, capture_output=True, timeout=600, check=False)
    done = inside("adopt", tmp_path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    rows = {row[2].rpartition("/")[2]: row for row in (line.split("\t") for line in done.stdout.splitlines()[1:])}
    assert rows[half][0] == "incomplete", done.stdout
    (run,) = {at.run for at in CheckpointStore(tmp_path).locate()}
    resumed = inside("resume-cmd", run, "--template", "go {step} {path}", store=tmp_path)
    assert resumed.stdout.split()[-2] == str(whole), (resumed.stdout, resumed.stderr)


LIGHT = Path(__file__).parents[2] / ".venv-light" / "bin" / "ckptkit"


@pytest.mark.skipif(not LIGHT.exists(), reason="the environment without frameworks is made by make test")
def test_where_no_framework_is_installed_all_of_it_works(adopted: tuple[str, Path], tmp_path: Path) -> None:
    _, root = adopted
    out = tmp_path / "fresh"
    subprocess.run(["cp", "-r", root / "out", out], check=True)
    for path in (*out.rglob("*.manifest.json"),):
        path.unlink()
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def light(*words: str, code: int = 0) -> str:
        command = [str(LIGHT), "--store", str(out), *words]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout

    assert "complete\t8\t" in light("adopt", str(out))
    assert light("list").count("\n") == len(list(CheckpointStore(out).locate())) + 1
    light("verify")
    assert light("resume-cmd", ".", "--template", "go {path}").startswith("cd ")
    light("prune", ".", "--keep-last", "1", "--apply")
    light("undelete", ".@4")
    light("verify")
