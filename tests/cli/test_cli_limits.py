"""The program at its limits: a device that takes no output, a disk that fills up, no more files to open, long paths."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import PROGRAM, inside, refused
from launched import limited

from ckptkit import CheckpointStore, durable
from ckptkit.errors import PartlyDoneError

LONG = ["x" * 5000, "x/" * 2500, "/" + "x/" * 2500]


@pytest.mark.parametrize(
    "command",
    [
        "list", "list --format json", "list --format table", "show a/run@1", "verify", "verify --format sarif",
        "verify --format github", "prune --keep-last 1", "backends", "resume-cmd a/run", "--version", "--help",
        "list --help", "save a/run --step 9 rng=RNG",
    ],
)  # fmt: skip
def test_output_that_cannot_be_written_is_an_error_of_the_device(command: str, store: Path, rng_file: Path) -> None:
    # Buffered, as in a shell: what stays in the buffer is written once more when Python ends.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    words = command.replace("RNG", str(rng_file)).split()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "--store", str(store), *words],
            stdout=full, stderr=subprocess.PIPE, env=buffered, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert "No space left on device" in "".join(done.stderr.splitlines()[-2:])
    assert "Exception ignored" not in done.stderr


def test_a_disk_that_fills_up_after_the_commit_is_told_as_partly_done(store: Path, rng_file: Path) -> None:
    # the pins and tags outgrow the limit, a checkpoint does not
    CheckpointStore(store).save("full", 1, {"rng": rng_file}, tags=[f"tag-{n}" for n in range(1500)])
    command = [*PROGRAM, "--store", store, "save", "full", "--step", "2", f"rng={rng_file}", "--tag", "release"]
    done = subprocess.run(limited(resource.RLIMIT_FSIZE, 8192, command), capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("saved full@2: ")
    assert "ckptkit: full@2: was saved, but it was not tagged release: refs.json: File too large\n" in done.stderr
    assert "`ckptkit tag full@2 TAG`" in done.stderr
    assert "nothing was" not in done.stderr
    assert done.stdout.strip() == str(store / "full" / "step-00000002")
    assert inside("verify", "full@2", store=store).returncode == 0


def test_in_python_the_error_has_what_was_committed(store: Path, rng_file: Path) -> None:
    opened = CheckpointStore(store)
    (opened.storage.run_folder("new") / ".ckptkit" / "refs.lock").mkdir(parents=True)
    with pytest.raises(PartlyDoneError, match=r"new@1: was saved, but it was not tagged best") as caught:
        opened.save("new", 1, {"rng": rng_file}, tags=["best"])
    assert caught.value.committed.at.ref == "new@1"
    assert opened.verify("new@1").exit_code == 0


def test_damaged_refs_are_told_before_a_save_with_tags(store: Path, rng_file: Path) -> None:
    (store / "a" / "run" / ".ckptkit" / "refs.json").write_text("{")
    done = inside("save", "a/run", "--step", "9", f"rng={rng_file}", "--tag", "best", store=store)
    refused(done, 1, "refs.json")
    assert not (store / "a" / "run" / "step-00000009").exists()


def test_without_files_left_to_open_nothing_is_called_damaged(store: Path, rng_file: Path) -> None:
    """At every count of descriptors from none to enough: done as ever, or exit 10."""
    code = (
        "import os, sys\n"
        "from ckptkit.cli import main\n"
        "from ckptkit import CheckpointStore, registry\n"
        "registry.backends()\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.dup(2))\n"
        "except OSError: pass\n"
        "ends = []\n"
        "for free in range(0, 28, 2):\n"
        "    for words in (['list'], ['verify'], ['resume-cmd', 'a/run'], ['prune', '--keep-last', '1'],\n"
        "                  ['save', 'b', '--step', str(free), 'rng=' + sys.argv[2]]):\n"
        "        arguments = ['ckptkit', '--store', sys.argv[1], *words]\n"
        "        before, sys.argv = sys.argv, arguments\n"
        "        ends.append((free, words[0], main._run()))\n"
        "        sys.argv = before\n"
        "    os.close(held.pop()), os.close(held.pop())\n"
        "for descriptor in held: os.close(descriptor)\n"
        "import json; print(json.dumps(ends), file=open(sys.argv[1] + '.ends', 'w'))\n"
    )
    command = limited(resource.RLIMIT_NOFILE, 64, [sys.executable, "-c", code, store, rng_file])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ends = json.loads((store.parent / f"{store.name}.ends").read_text())
    assert {code for _, _, code in ends} == {0, 10}, ends
    enough = [(free, word, code) for free, word, code in ends if free >= durable.DESCRIPTORS + 4]
    assert [one for one in enough if one[2] != 0] == [], done.stderr[-2000:]
    assert len(enough) >= 5
    assert "raise the limit of open files" in done.stderr


@pytest.mark.parametrize("path", LONG)
def test_a_path_that_no_system_takes_is_told_as_such(path: str, store: Path, rng_file: Path) -> None:
    save = ["save", "r", "--step", "1"]
    for arguments in (
        ["--store", path, "list"], ["--store", path, "verify"], ["--store", path, *save, f"rng={rng_file}"],
        ["--store", path, "resume-cmd", "r"], ["--store", path, "prune", "--keep-last", "1"],
        [*save, f"rng={path}"], [*save, f"rng:files={path}"], [*save, f"rng:sb3={path}"], [*save, f"{path}={rng_file}"],
        [*save, f"rng={rng_file}", "--config", path], [*save, f"rng={rng_file}", "--tag", path],
        [*save, f"rng={rng_file}", "--metric", f"{path}=1"], [*save, f"rng={rng_file}", "--parent", f"{path}@1"],
        ["save", path, "--step", "1", f"rng={rng_file}"], ["list", path], ["show", path], ["verify", path],
        ["restore", "a/run@1", path], ["verify", "--junit", path], ["verify", "--sarif", path], ["undelete", path],
        ["check-data", path],
    ):  # fmt: skip
        done = inside(*([] if arguments[0] == "--store" else ["--store", str(store)]), *arguments)
        assert done.returncode in (2, 10), (arguments[:2], done.returncode, done.stderr[:300])
        assert "Traceback" not in done.stderr
