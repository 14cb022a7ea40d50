"""A stranger's recorder is told what happens, in a thread of its own; whatever it does, the save is done.

Each is a real distribution: a module and a dist-info folder with an entry point, on the path of a new process.
"""

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

SLOW = "__import__('time').sleep(0.3)"
GOOD = """
import json, os, threading
from pathlib import Path

class Recorder:
    def record(self, event):
        with Path(os.environ["RECORD"]).open("a") as file:
            file.write(json.dumps(event.fields() | {"thread": threading.current_thread().name}) + "\\n")
"""
SAVE = """
import random, sys, time
from ckptkit import CheckpointStore
store = CheckpointStore(sys.argv[1], cache=False)
began = time.monotonic()
for step in range(1, 4):
    store.save("r", step, {"rng": random.Random(step)})
print("saved in", time.monotonic() - began)
"""


def install(folder: Path, code: str, name: str = "notes", *, module: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module or name}_recorder.py").write_text(code)
    info = folder / f"{name}_recorder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-recorder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ckptkit.recorders]\nnotes = {module or name}_recorder:Recorder\n")
    return folder


def run(folder: Path, *arguments: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "RECORD": str(folder / "record"), **more}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=folder)


def save(folder: Path) -> "subprocess.CompletedProcess[str]":
    done = run(folder, "-c", SAVE, folder / "store")
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "store" / "r").glob("step-*/manifest.json"))) == 3
    return done


def recorded(folder: Path) -> list[dict[str, object]]:
    file = folder / "record"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_recorder_is_told_everything_in_order_in_its_own_thread_before_the_process_ends(tmp_path: Path) -> None:
    done = save(
        install(tmp_path, GOOD.replace("def record(self, event):", "def record(self, event):\n        " + SLOW))
    )
    assert [(one["event"], one["ref"], one["thread"]) for one in recorded(tmp_path)] == [
        ("saved", f"r@{step}", "ckptkit recorder notes") for step in (1, 2, 3)
    ]
    assert done.stderr == ""


def test_what_the_command_line_does_is_recorded_and_a_listing_does_not_even_load_it(tmp_path: Path) -> None:
    install(tmp_path, "import os, pathlib; pathlib.Path(os.environ['RECORD'] + '.loaded').touch()\n" + GOOD)
    (tmp_path / "rng.json").write_text(
        '{"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}, "has_uint32": 0, "uinteger": 0}'
    )
    program = ["-m", "ckptkit.cli.main", "--store", str(tmp_path / "store")]
    (tmp_path / "store").mkdir()
    assert run(tmp_path, *program, "list").returncode in (0, 4)
    assert not (tmp_path / "record.loaded").exists()
    for words in (["save", "r", "--step", "1", "rng=rng.json"], ["verify", "r"], ["tag", "r@1", "best"]):
        assert run(tmp_path, *program, *words).returncode == 0
    assert [one["event"] for one in recorded(tmp_path)] == ["saved", "verified", "tagged"]
    assert (tmp_path / "record.loaded").exists()


FAULTS = {
    "raises when it is imported": ("raise RuntimeError('no database\\nhere')", "cannot be loaded: RuntimeError: no da"),
    "ends the process when it is imported": ("import sys; sys.exit(3)", "cannot be loaded: SystemExit: 3"),
    "has no such class": ("", "cannot be loaded: AttributeError"),
    "has no method record": ("class Recorder: pass", "without a method record(event)"),
    "raises at each event": (
        GOOD.replace("with Path", "raise OSError('postgres://me:hunter2hunter2@host is down')\n        with Path"),
        "failed: saved: OSError: postgres://",
    ),
    "ends its thread at each event": (GOOD.replace("with Path", "raise SystemExit(3)\n        with Path"), "failed"),
}


@pytest.mark.parametrize("why", FAULTS)
def test_a_recorder_that_fails_is_named_once_and_every_save_is_done(why: str, tmp_path: Path) -> None:
    code, said = FAULTS[why]
    done = save(install(tmp_path, code))
    (line,) = done.stderr.splitlines()
    assert line.startswith("recorder 'notes' (notes-recorder 1.0) ")
    assert said in line
    assert "hunter2" not in line


def test_a_recorder_that_hangs_delays_no_save_and_the_end_of_the_process_for_seconds_only(tmp_path: Path) -> None:
    install(tmp_path, GOOD.replace("with Path", "__import__('time').sleep(3600)\n        with Path"))
    began = time.monotonic()
    done = save(tmp_path)
    assert time.monotonic() - began < 60
    assert "3 events were not recorded when the process ended" in done.stderr


def test_a_single_event_that_was_not_recorded_is_told_as_one(tmp_path: Path) -> None:
    install(tmp_path, GOOD.replace("with Path", "__import__('time').sleep(3600)\n        with Path"))
    done = run(tmp_path, "-c", SAVE.replace("range(1, 4)", "[1]"), tmp_path / "store")
    assert "1 event was not recorded when the process ended" in done.stderr


def test_what_a_recorder_cannot_keep_up_with_is_dropped_and_said(tmp_path: Path) -> None:
    install(tmp_path, GOOD.replace("with Path", "__import__('time').sleep(3600)\n        with Path"))
    done = run(tmp_path, "-c", "from ckptkit import recorders; recorders.WAITING = 1\n" + SAVE, tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "recorder 'notes' (notes-recorder 1.0) is too slow: 1 events wait for it" in done.stderr
    assert len(list((tmp_path / "store" / "r").glob("step-*/manifest.json"))) == 3


def test_an_import_that_hangs_delays_no_save_either(tmp_path: Path) -> None:
    done = save(install(tmp_path, "import time; time.sleep(3600)"))
    assert "3 events were not recorded when the process ended" in done.stderr


def test_two_recorders_of_one_name_are_both_refused(tmp_path: Path) -> None:
    install(install(tmp_path, GOOD), GOOD, "other", module="notes")
    done = save(tmp_path)
    assert "more than one distribution brings it (notes-recorder, other-recorder)" in done.stderr
    assert recorded(tmp_path) == []


def test_a_recorder_that_fails_does_not_stop_another(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    install(tmp_path, "raise ValueError", "broken")
    entry = tmp_path / "broken_recorder-1.0.dist-info" / "entry_points.txt"
    entry.write_text("[ckptkit.recorders]\nbroken = broken_recorder:Recorder\n")
    save(tmp_path)
    assert [one["ref"] for one in recorded(tmp_path)] == ["r@1", "r@2", "r@3"]


def test_in_a_rehearsal_recorders_hear_nothing(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    scratch = tmp_path / "scratch" / "store"
    told = {
        "real": str(tmp_path / "store"), "scratch": str(scratch), "run": "r", "step": 0, "steps": 8, "until": 0,
        "notes": str(tmp_path / "notes"),
    }  # fmt: skip
    done = run(tmp_path, "-c", SAVE, tmp_path / "store", CKPTKIT_REHEARSAL=json.dumps(told))
    assert done.returncode == 0, done.stderr
    assert len(list((scratch / "r").glob("step-*/manifest.json"))) == 3
    assert recorded(tmp_path) == []


def test_a_fork_of_the_process_is_told_for_itself(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    forked = SAVE + (
        "import os\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    store.save('r', 4, {'rng': random.Random(4)})\n"
        "    sys.exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = run(tmp_path, "-c", forked, tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert sorted(str(one["ref"]) for one in recorded(tmp_path)) == ["r@1", "r@2", "r@3", "r@4"]


def test_the_recorder_of_the_how_to_records_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/record-what-happens.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(python|toml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    _, code = [text for language, text in blocks if language == "python"]
    (project,) = [tomllib.loads(text)["project"] for language, text in blocks if language == "toml"]
    install(tmp_path, "", "my")
    (tmp_path / "my_recorder.py").write_text(code)
    ((group, names),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in names.items())]
    (tmp_path / "my_recorder-1.0.dist-info" / "entry_points.txt").write_text("\n".join(lines))
    done = run(tmp_path, "-c", SAVE, tmp_path / "store", CKPT_EVENTS=str(tmp_path / "record"))
    assert (done.returncode, done.stderr) == (0, "")
    assert [one["ref"] for one in recorded(tmp_path)] == ["r@1", "r@2", "r@3"]


TRAIN = """
import random, sys
from ckptkit import CheckpointStore
store, rng = CheckpointStore("store", cache=False), random.Random(1)
start = store.restore(sys.argv[1], {"rng": rng}).step if len(sys.argv) > 1 else 0
for step in range(start + 1, start + 4):
    rng.random()
    store.save("r", step, {"rng": rng}, resume=[sys.executable, "train.py", "{run}@{step}"])
"""


def test_a_rehearsal_of_a_real_command_leaves_no_trace_in_the_record(tmp_path: Path) -> None:
    install(tmp_path, GOOD)
    (tmp_path / "train.py").write_text(TRAIN)
    assert run(tmp_path, "train.py").returncode == 0
    rehearse = "from ckptkit import CheckpointStore; print(CheckpointStore('store').rehearse('r@1', steps=2))"
    done = run(tmp_path, "-c", rehearse)
    assert "verdict='same'" in done.stdout, done.stdout + done.stderr
    assert [(one["event"], one["ref"]) for one in recorded(tmp_path)] == [("saved", f"r@{step}") for step in (1, 2, 3)]
