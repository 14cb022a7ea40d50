"""Each trainer: found, judged, verified, and resumed by its own framework from the command that is printed."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import all_trainings
import command_line
import flipping
import pytest
import resumed_by_trainers
import without_frameworks
from command_line import inside
from foreign_files import tree

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix
PROGRAM = resumed_by_trainers.__file__
NAMES = [train.__name__ for train in resumed_by_trainers.ALL]
WORDS = {"accelerate": ("{path}", "{step}"), "keras": ("{path}", "{step}")}


def said(text: str) -> dict[str, list[str]]:
    lines = [line.split() for line in text.splitlines()]
    return {words[0]: words[1:] for words in lines if words and words[0] in ("began", "ended")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folders that all trainers wrote, those that were killed among them."""
    root = tmp_path_factory.mktemp("trained")
    command = [sys.executable, all_trainings.__file__, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.fixture(scope="module", params=NAMES)
def adopted(request: pytest.FixtureRequest, trained: Path) -> tuple[str, Path]:
    """Return what a trainer wrote in eight steps, adopted as a newcomer does it."""
    root = trained / request.param
    before = tree(root / "out")
    done = inside("adopt", root / "out")
    assert done.returncode == 0, done.stderr
    assert tree(root / "out") == before
    return request.param, root


def test_it_is_found_verified_and_goes_on_from_the_printed_command(adopted: tuple[str, Path], tmp_path: Path) -> None:
    name, root = adopted
    store = CheckpointStore(root / "out")
    assert store.verify().exit_code == 0
    assert [at.step for at in store.locate(".")] == (list(range(1, 9)) if name == "keras" else [4, 8])
    assert {store.manifest(at).trainer for at in store.locate(".")} == {name}
    words = [sys.executable, PROGRAM, name, str(tmp_path / "on"), "8", *WORDS.get(name, ("{path}",))]
    (tmp_path / "ckptkit.yaml").write_text(f"trainers:\n  {name}: {shlex.join(words)!r}\n".replace("'\"'\"'", ""))
    printed = inside("resume-cmd", ".@4", store=root / "out", cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    done = subprocess.run(printed.stdout, shell=True, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert said(done.stdout)["began"][0] == "4"
    straight = said((root / "said").read_text())
    assert said(done.stdout)["ended"] == straight["ended"], "the weights of the training that was never interrupted"


def test_300_of_300_flipped_bits_of_what_it_wrote_are_found_and_the_file_is_named(adopted: tuple[str, Path]) -> None:
    out = adopted[1] / "out"
    [at] = CheckpointStore(out).locate(".@4")
    base = out / at.name if (out / at.name).is_dir() else out
    manifest = CheckpointStore(out).manifest(at)
    files = [base / file.path for item in manifest.items.values() for file in item.files]
    assert flipping.flipped(at, files, base, seed=300) == (flipping.FLIPS, [])


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
    case: str, whole: int, half: str, trained: Path
) -> None:
    out = trained / case / "out"
    done = inside("adopt", out)
    assert done.returncode == 0, (done.stdout, done.stderr)
    rows = {row[2].rpartition("/")[2]: row for row in (line.split("\t") for line in done.stdout.splitlines()[1:])}
    assert rows[half][0] == "incomplete", done.stdout
    (run,) = {at.run for at in CheckpointStore(out).locate()}
    resumed = inside("resume-cmd", run, "--template", "go {step} {path}", store=out)
    assert resumed.stdout.split()[-2] == str(whole), (resumed.stdout, resumed.stderr)


LIGHT = Path(__file__).parents[2] / ".venv-light" / "bin" / "python"


@pytest.mark.skipif(not LIGHT.exists(), reason="the environment without frameworks is made by make test")
def test_where_no_framework_is_installed_all_of_it_works(adopted: tuple[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "fresh"
    shutil.copytree(adopted[1] / "out", out, symlinks=True)
    for path in out.rglob("*.manifest.json"):
        path.unlink()
    variables = {**os.environ, "PYTHONPATH": str(Path(command_line.__file__).parent)}
    command = [str(LIGHT), without_frameworks.__file__, str(out)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
