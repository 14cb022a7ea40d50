"""`ckptkit samples`: files to try ckptkit with, for those who have no training at hand."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import inside, refused


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    done = inside("samples", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "samples"


def test_the_training_needs_nothing_but_python_and_goes_on_to_the_last_digit(samples: Path) -> None:
    train = [sys.executable, "-I", "-S", "train.py"]
    whole = subprocess.run(train, cwd=samples, capture_output=True, text=True, check=True).stdout
    place = "out/step-30/"
    resumed = [*train, "--weights", f"{place}weights.json", "--rng", f"{place}rng.json"]
    rest = subprocess.run(resumed, cwd=samples, capture_output=True, text=True, check=True).stdout
    assert rest.splitlines() == ["resumed at step 30", *whole.splitlines()[3:]]
    assert len(whole.splitlines()) == 5


def test_the_trainer_was_killed_in_its_third_save(samples: Path) -> None:
    states = {path.name: (path / "trainer_state.json").exists() for path in (samples / "hf").iterdir()}
    assert states == {"checkpoint-500": True, "checkpoint-1000": True, "checkpoint-1500": False}


def test_nothing_is_written_into_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "mine").touch()
    refused(inside("samples", cwd=tmp_path), 6, "samples: exists and is not an empty folder")
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["mine"]


def test_the_files_name_no_folder_of_the_machine_that_wrote_them() -> None:
    import ckptkit_samples

    with zipfile.ZipFile(Path(ckptkit_samples.__file__).with_name("hf.zip")) as archive:
        said = [name for name in archive.namelist() for root in (b"/home", b"/root", b"/tmp", b"/work")
                if root in archive.read(name)]  # fmt: skip
    assert said == []
