"""`ckptkit adopt --watch --keep-last 2` beside the Hugging Face Trainer, while it trains."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import watched_training
from command_line import PROGRAM, inside
from foreign_files import tree

from ckptkit import CheckpointStore

pytestmark = pytest.mark.matrix
EVENT = dict[str, Any]
HALF = ("left", f".@{watched_training.HALF}")
LAST = ("adopted", f".@{watched_training.LAST}")
DEFAULT = "import signal, sys, os; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"


@contextmanager
def process(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Run it; it is killed if it hangs, and then its output ends."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        late = threading.Timer(240, run.kill)
        late.start()
        try:
            yield run
        finally:
            late.cancel()
            run.kill()


def watched(out: Path, until: Callable[[EVENT], bool], ending: signal.Signals, go: Path | None = None) -> list[EVENT]:
    """Watch until something happens, let the trainer go on where it is told to, and end by a signal."""
    words = ("adopt", str(out), "--watch", "--every", "0.1", "--keep-last", "2", "--format", "json")
    events: list[EVENT] = []
    with process(sys.executable, "-c", DEFAULT, *PROGRAM, *words) as run:
        assert run.stdout is not None
        for line in run.stdout:
            events.append(json.loads(line))
            if go and named(events[-1]) == HALF:
                go.touch()
            if until(events[-1]):
                break
        run.send_signal(ending)
        rest, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + ending, (run.returncode, events, errors)
    assert "Traceback" not in errors, errors
    return events + [json.loads(line) for line in rest.splitlines()]


def named(event: EVENT) -> tuple[str, str]:
    return event["event"], event["ref"]


def refs(events: list[EVENT], kind: str) -> list[str]:
    return sorted(event["ref"] for event in events if event["event"] == kind)


def test_beside_the_trainer_only_whole_ones_are_adopted_and_the_older_ones_go_to_the_trash(tmp_path: Path) -> None:
    out = tmp_path / "watched"
    with process(sys.executable, watched_training.__file__, str(tmp_path)) as trainer:
        first = watched(out, lambda event: named(event) == HALF, signal.SIGINT)
        assert refs(first, "adopted") == [".@2", ".@4"]
        assert (out / "checkpoint-6").is_dir()
        assert "checkpoint-4" in inside("resume-cmd", ".", store=out).stdout
        then = watched(out, lambda event: named(event) == LAST, signal.SIGTERM, tmp_path / "go")
        said, errors = trainer.communicate(timeout=240)
    assert trainer.returncode == 0, errors[-3000:]
    ended, alone = (line for line in said.splitlines() if line.startswith("ended"))
    assert ended == alone, "the trainer ends as it does where nobody watches it"

    assert refs(then, "adopted") == [".@10", ".@12", ".@6", ".@8"]
    assert refs(then, "removed") == [".@2", ".@4", ".@6", ".@8"]
    assert {event["event"] for event in first + then} - {"waiting"} == {"adopted", "left", "removed"}
    there = sorted(path.name for path in out.glob("checkpoint-*") if path.is_dir())
    assert there == ["checkpoint-10", "checkpoint-12"]
    resumed = inside("resume-cmd", ".", store=out)
    assert f"checkpoint-{watched_training.LAST}" in resumed.stdout, resumed

    for step in (2, 4, 6, 8):
        assert inside("undelete", f".@{step}", store=out).returncode == 0
    assert [at.step for at in CheckpointStore(out).locate()] == [2, 4, 6, 8, 10, 12]
    assert inside("verify", store=out).returncode == 0
    ours, theirs = tree(out), tree(tmp_path / "alone")
    assert ours.keys() == theirs.keys()
    differing = {Path(path).name for path in ours if ours[path] != theirs[path]}
    assert differing == {"training_args.bin"}, "which says where it was written"
