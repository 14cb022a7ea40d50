"""A path that is a pipe, a socket or a device is refused in one line; one that is too long for the system, too."""

import os
import shlex
import socket
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from command_line import PROGRAM, ckptkit, inside, refused

KINDS = {"pipe": "a pipe", "socket": "a socket", "/dev/null": "a device", "/dev/stdin": "a device"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model, a pipe and a socket."""
    safetensors.numpy.save_file({"w": np.ones(2)}, tmp_path / "m.safetensors")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket"))  # an absolute path may be too long for a socket
    return tmp_path


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("words", ["a=PATH", "a:files=PATH", "a:sb3=PATH", "m=m.safetensors --config PATH"])
def test_what_is_no_file_is_said_to_be_none(words: str, path: str, place: Path) -> None:
    done = ckptkit("save", "run", "--step", "1", *words.replace("PATH", path).split(), store=place / "store", cwd=place)
    refused(done, 2, f"{path}: is {KINDS[path]}, not a regular file")
    assert "write it to a file first" in done.stderr


def test_a_process_substitution_is_said_to_be_a_pipe(place: Path) -> None:
    command = [*PROGRAM, "--store", "store", "save", "run", "--step", "1"]
    line = f"{shlex.join(command)} a:files=<(echo hi)"
    done = ckptkit("-c", line, cwd=place, program=["bash"])
    refused(done, 2, "is a pipe, not a regular file or a folder")


@pytest.mark.parametrize(("path", "code"), [("pipe", 2), (".", 2), ("gone", 4), ("link", 0)])
def test_trust_goes_to_files_also_through_a_link(path: str, code: int, place: Path) -> None:
    (place / "link").symlink_to("m.safetensors")
    words = ("save", "run", "--step", "1", "m=m.safetensors", "--trust", path)
    done = ckptkit(*words, store=place / "store", cwd=place)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 2 or not code


LONG = {"one name": "n" * 5_000, "many names": "/".join(["n" * 200] * 25), "256 bytes": "n" * 256}


@pytest.mark.parametrize("path", LONG.values(), ids=LONG)
@pytest.mark.parametrize(
    "words",
    [
        "save run --step 1 a=PATH",
        "save run --step 1 a:files=PATH",
        "save run --step 2 m=MODEL --config PATH",
        "save run --step 2 m=MODEL --trust PATH",
        "restore run PATH",
        "verify --junit PATH",
        "verify --sarif PATH",
        "adopt PATH",
        "--store PATH list",
        "--store PATH save run --step 1 m=MODEL",
        "check-data PATH",
    ],
)
def test_a_path_too_long_for_the_system_ends_in_a_code_of_the_table(words: str, path: str, place: Path) -> None:
    model = place / "m.safetensors"
    assert inside("save", "run", "--step", "1", f"m={model}", store=place / "store", cwd=place).returncode == 0
    filled = [word.replace("PATH", path).replace("MODEL", str(model)) for word in words.split()]
    done = inside(*filled, store=None if "--store" in filled else place / "store", cwd=place)
    assert done.returncode in (2, 4, 10), done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
