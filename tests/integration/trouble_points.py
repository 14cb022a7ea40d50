"""Let the k-th call to the disk fail, for every k: with each error that a disk, a network or a limit answers.

``python trouble_points.py FOLDER STRIDE COMMAND...`` prints one JSON document. Each command runs in a warm fork of this
process, with ``disk_calls.c`` before the C library. A signal, or a clock that jumps, comes before that call instead.
What is said must be true, nothing may be lost, and the same command once more must do what the first was to do.
"""

import errno
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import disk_calls
from disk_calls import CLOSE, CREATE, FLUSH, FOLDERS, LOCK, LOOK, NAME, OPEN, READ, REMOVE, WRITE
from interrupt_points import called
from kill_points import in_child

from ckptkit import CheckpointStore, Files
from ckptkit.retention import RetentionPolicy

MOST = 1000
NEW = CREATE | NAME | WRITE
ANY = NEW | OPEN | READ | FLUSH | REMOVE | LOOK
YEAR = 365 * 86400
COMMANDS = {
    "save": "save r --step 5 --tag t data:files=data",
    "replace": "save r --step 4 --replace --metric new=1 data:files=data",
    "prune": "prune r --keep-last 1 --apply",
    "undelete": "undelete r@1",
    "pin": "pin r@2",
    "tag": "tag r@2 best",
    "adopt": "adopt store/t",
    "copy": "copy store there",
    "verify": "verify r",
}


@dataclass(frozen=True)
class Fault:
    """What happens at a call, and what the command may end with then.

    Attributes:
        kinds: of the calls that are counted.
        error: what the call answers.
        lasting: whether all later ones do so, too.
        signal: comes instead.
        seconds: by which the clock jumps instead.
        codes: exit codes; see docs/reference/exit-codes.md.
    """

    kinds: int
    error: int = 0
    lasting: bool = False
    signal: int = 0
    seconds: int = 0
    codes: tuple[int, ...] = (0, 3, 10)

    def arm(self, root: Path, number: int) -> None:
        """Let it happen in this process at the call of a number."""
        how: dict[str, Any] = {"lasting": self.lasting, "signal": self.signal, "seconds": self.seconds}
        disk_calls.fail(root, self.kinds, number, self.error, **how)


FAULTS = {
    "full": Fault(NEW | FLUSH, errno.ENOSPC),
    "full from then on": Fault(NEW | FLUSH, errno.ENOSPC, lasting=True),
    "quota from then on": Fault(NEW | FLUSH, errno.EDQUOT, lasting=True),
    "write error": Fault(WRITE | FLUSH | CLOSE, errno.EIO),
    "write error from then on": Fault(WRITE | FLUSH | CLOSE, errno.EIO, lasting=True),
    "read error": Fault(OPEN | READ | LOOK | FOLDERS, errno.EIO),
    "read-only from then on": Fault(NEW | REMOVE, errno.EROFS, lasting=True),
    "too many files": Fault(OPEN | CREATE | FOLDERS, errno.EMFILE),
    "stale": Fault(ANY | FOLDERS, errno.ESTALE),
    "stale from then on": Fault(ANY | FOLDERS, errno.ESTALE, lasting=True),
    "interrupted call": Fault(OPEN | CREATE | READ | WRITE | FLUSH | LOCK, errno.EINTR, codes=(0,)),
    "SIGTERM": Fault(ANY, signal=signal.SIGTERM, codes=(0, 143)),
    "SIGINT": Fault(ANY, signal=signal.SIGINT, codes=(0, 130)),
    "clock 20 hours ahead": Fault(ANY, seconds=20 * 3600, lasting=True, codes=(0,)),
    "clock a year back": Fault(ANY, seconds=-YEAR, lasting=True, codes=(0,)),
}


def prepare(folder: Path) -> None:
    """Write a store with three checkpoints, one in its trash, and one that a trainer wrote since."""
    (folder / "data").write_bytes(b"x" * 5000)
    store = CheckpointStore(folder / "store")
    for step in (1, 2, 3, 4):
        store.save("r", step, {"data": Files(folder / "data", "files")})
    store.prune(store.plan_prune(RetentionPolicy(keep_last=3), run="r"))
    written = folder / "store" / "t" / "checkpoint-7"
    written.mkdir(parents=True)
    header = b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}     '
    (written / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (written / "config.json").write_text('{"model_type": "tiny"}')
    (written / "trainer_state.json").write_text('{"global_step": 7, "epoch": 1.0, "log_history": []}')


def portrait(folder: Path) -> list[Any]:
    """Return what there is, with pins, tags and metrics; all of it must verify."""
    found: list[Any] = []
    for place in (folder / "store", folder / "there"):
        if place.exists():
            store = CheckpointStore(place)
            report = store.verify()
            assert all(one.good for one in report.checkpoints), [one.reason for one in report.checkpoints]
            listed = [*store.list()]
            assert {one.at.ref for one in listed} == {one.at.ref for one in report.checkpoints}
            metrics = [dict(store.manifest(one.at.ref).metrics) for one in listed]
            found.append([[one.at.ref, one.pinned, *one.tags, *got] for one, got in zip(listed, metrics, strict=True)])
    return found


def kept(folder: Path) -> set[str]:
    """Return what the store has, in its place or in the trash."""
    store = CheckpointStore(folder / "store")
    return {at.ref for at in store.locate()} | {f"{one.run}@{one.step}" for one in store.removed()}


class Points:
    """One command, and what it leaves where nothing fails."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.words = name, COMMANDS[name].split()
        self.pristine, self.work, self.text = folder / "pristine", folder / "work", folder / "stderr"
        self.counter = disk_calls.counter()
        self.pristine.mkdir()
        prepare(self.pristine)
        self.before = kept(self.pristine)
        assert self.at(FAULTS["full"], MOST) == 0, self.text.read_text()
        self.expected = portrait(self.work)

    def at(self, fault: Fault | None, number: int) -> int:
        """Run it anew, with a fault at a call; return its exit code."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.pristine, self.work)
        return self.run(fault, number)

    def run(self, fault: Fault | None, number: int = 0) -> int:
        """Run it where it was; the counter tells how many calls were counted."""

        arm = None if fault is None else partial(fault.arm, self.work, number)
        return in_child(lambda: called(self.words, self.work, arm))

    def judge(self, fault: Fault, code: int) -> None:
        """Raise AssertionError where a law is broken."""
        text = self.text.read_text()
        reads = 10 in fault.codes and (READ | OPEN) & fault.kinds
        codes = (*fault.codes, 1) if reads else fault.codes  # a file that cannot be read is a finding
        assert code in codes, (code, text)
        assert "Traceback" not in text, text
        if code in (1, 3, 10) and self.name not in ("prune", "verify", "adopt", "copy"):  # theirs is a report
            lines = text.splitlines()
            told = [number for number, line in enumerate(lines) if line.startswith("ckptkit: ")]
            assert len(told) == 1, text
            assert lines[told[0] + 1].startswith("  "), text
        assert kept(self.work) >= self.before, "lost"
        now = portrait(self.work)
        self.judge_done(code, now)
        again = self.run(None)
        text = self.text.read_text()
        assert again == 0 or (again in (4, 6) and self.is_done(now)), (again, code, text)
        if again == 6 and now != self.expected:  # what was committed may lack the rest, which was told
            assert code != 0
            return
        assert portrait(self.work) == self.expected, "done again, and is not as it should be"

    def is_done(self, now: list[Any]) -> bool:
        """Return whether it did what it is for, but perhaps for tags."""
        return [[one[0] for one in store] for store in now] == [[one[0] for one in store] for store in self.expected]

    def judge_done(self, code: int, now: list[Any]) -> None:
        """Raise AssertionError where the exit code does not say what was done."""
        said = self.text.read_text() + self.text.with_name("stdout").read_text()
        if self.name == "prune":  # what cannot be judged, or is younger than now, is kept
            assert {one[0] for one in now[0]} >= {one[0] for one in self.expected[0]}, (now, said)
        elif code == 0:
            assert now == self.expected, (now, said)
        elif self.name == "save" and code in (1, 7, 10):
            assert not self.is_done(now) or "cannot be taken back" in said, ("committed, and not told", said)


def run(name: str, folder: Path, stride: int) -> dict[str, Any]:
    """Return by fault how many points were tried, and a line for each that broke a law."""
    command = Points(name, folder)
    tried: dict[str, int] = {}
    broken: list[str] = []
    for turn, (label, fault) in enumerate(FAULTS.items()):
        tried[label] = 0
        for number in range(1 + turn % stride, MOST, stride):
            code = command.at(fault, number)
            if (reached := command.counter.value) < number:
                break
            tried[label] += 1
            try:
                command.judge(fault, code)
            except Exception as error:
                broken.append(f"{label}, call {number} of {reached}: {type(error).__name__}: {error}")
    return {"tried": tried, "broken": broken}


if __name__ == "__main__":
    os.environ["PATH"] = ""  # no git: it would be asked for the commit of the code in every single save
    os.environ["CKPTKIT_BACKGROUND"] = "never"
    os.environ["CKPTKIT_NO_CACHE"] = "1"
    del os.environ["LD_PRELOAD"]
    told = {}
    for one in sys.argv[3:]:
        place = Path(sys.argv[1]).resolve() / one
        place.mkdir()
        told[one] = run(one, place, int(sys.argv[2]))
    print(json.dumps(told))
