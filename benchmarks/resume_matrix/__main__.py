"""Run the matrix: for each set-up train, kill, resume and rehearse, and print a row of what came of it.

    python -m benchmarks.resume_matrix [PATTERN] [--jobs N] [--no-rehearsal]     the table, as Markdown
    python -m benchmarks.resume_matrix train NAME [STORE]                        one training, as the rehearsal runs it

For each set-up, each in a process of its own: one trains without ckptkit; one trains the same and saves; one saves
and is killed; one resumes that. *Unchanged*: the first two end alike. *Equal*: the second and the last end alike.
*Shown* is what the rehearsal of the first checkpoint said, or ``-``. *Silent* is what must not be: it differs, and
neither the grade nor the rehearsal says so.
"""

import argparse
import contextlib
import importlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.resume_matrix.setup import RUN, Setup, Train

MODULES = ("sb3_grid", "silent_sb3", "silent_torch", "silent_data", "silent_frameworks")
DIES = {"sb3_grid": 128, "silent_sb3": 128, "silent_torch": 21, "silent_data": 21, "silent_frameworks": 13}
TIMEOUT = 300


@dataclass
class Row:
    """What came of one set-up."""

    name: str
    unchanged: str
    equal: str
    captured: str
    shown: str
    reasons: str

    @property
    def silent(self) -> bool:
        return self.equal != "yes" and self.captured == "complete" and not self.shown.startswith("differs")


def every() -> Iterator[tuple[str, str, Train]]:
    """Yield module, name and training of every set-up."""
    for module in MODULES:
        for name, train in importlib.import_module(f"benchmarks.resume_matrix.{module}").setups():
            yield module, name, train


def _forked(train: Train, setup: Setup, log: Path) -> str:
    """Run a training in a process of its own, forked before anything was trained; return its digest or how it ended."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        os.setsid()
        with log.open("ab") as stream:
            os.dup2(stream.fileno(), 1), os.dup2(stream.fileno(), 2)
        warnings.simplefilter("ignore")
        sender.send(train(setup))

    process = context.Process(target=run)
    process.start()
    sender.close()
    deadline = time.monotonic() + TIMEOUT
    while process.exitcode is None and time.monotonic() < deadline:  # join() would wait for the workers it leaves, too
        time.sleep(0.05)
    hangs = process.exitcode is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)  # a killed training leaves its workers behind
    if hangs:
        return "hangs"
    with contextlib.suppress(EOFError):
        return str(receiver.recv())
    return "killed" if process.exitcode == -9 else f"exit {process.exitcode}"


def judged(module: str, name: str, train: Train, rehearsal: bool) -> Row:
    """Train, kill, resume and rehearse one set-up."""
    with tempfile.TemporaryDirectory(prefix="ckptkit-matrix-") as place:
        log = Path(place, "log")
        plain = _forked(train, Setup(name), log)
        straight = _forked(train, Setup(name, f"{place}/straight"), log)
        died = _forked(train, Setup(name, f"{place}/killed", DIES[module]), log)
        captured, reasons = _grade(f"{place}/killed")  # of what it will be resumed from
        resumed = _forked(train, Setup(name, f"{place}/killed"), log) if died == "killed" else died
        shown = _rehearsed(f"{place}/straight") if rehearsal else "-"
        if resumed.startswith("exit"):
            lines = log.read_text(errors="replace").strip().splitlines() or [""]
            reasons = f"{resumed}: {lines[-1][:160]}"
        return Row(
            name,
            "yes" if plain == straight else f"**no** ({straight})" if straight.startswith("exit") else "**no**",
            "yes" if straight == resumed else "**no**",
            captured,
            shown,
            reasons,
        )


def _grade(store: str) -> tuple[str, str]:
    from ckptkit import CheckpointStore
    from ckptkit.errors import CkptkitError

    try:
        manifest = CheckpointStore(store).choose(f"{RUN}@latest").manifest
    except CkptkitError as error:
        return "none", error.message
    return manifest.grade, "; ".join(reason for item in manifest.items.values() for reason in item.captured.reasons)


def _rehearsed(store: str) -> str:
    from ckptkit import CheckpointStore

    kept = CheckpointStore(store)
    noted = [one for one in kept.list(RUN) if one.at.observed.exists()]
    if not noted:
        return "nothing noted"
    program = str(Path(sys.executable).with_name("ckptkit"))
    command = [program, "--store", store, "verify", noted[0].at.ref, "--level", "resume"]
    subprocess.run([*command, "--steps", "8"], capture_output=True, check=False, cwd=Path(__file__).parents[2])
    shown = next(one.shown for one in kept.list(RUN) if one.at.ref == noted[0].at.ref)
    return "nothing" if shown is None else f"{shown.words}" + (f": {shown.differs}" if shown.differs else "")


def _table(pattern: str, jobs: int, rehearsal: bool) -> int:
    wanted = [one for one in every() if re.search(pattern, f"{one[0]} {one[1]}")]
    print("| set-up | unchanged by saving | resumed equal | captured | shown | reasons |\n|---|---|---|---|---|---|")
    rows: list[Row] = []
    with ThreadPoolExecutor(jobs) as pool:
        for row in pool.map(lambda one: judged(*one, rehearsal), wanted):
            rows.append(row)
            reasons = row.reasons.replace("|", "/")[:200]
            print(
                f"| {row.name} | {row.unchanged} | {row.equal} | {row.captured} | {row.shown} | {reasons} |", flush=True
            )
    silent = [row.name for row in rows if row.silent]
    print(
        f"\n{len(rows)} set-ups: {sum(row.unchanged == 'yes' for row in rows)} unchanged by saving, "
        f"{sum(row.equal == 'yes' for row in rows)} resumed equal, {len(silent)} silent"
        + (f": {', '.join(silent)}" if silent else "")
    )
    return len(silent) > 0


def main() -> Any:
    """Parse the arguments and run."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"OMP_NUM_THREADS": "1", "CKPTKIT_BACKGROUND": "never"}  # the driver rehearses, one at a time
    if sys.argv[1:2] == ["train"]:
        name, *store = sys.argv[2:]
        train = next(train for _, known, train in every() if known == name)
        print("digest", train(Setup(name, *store)))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--no-rehearsal", action="store_true")
    wanted = parser.parse_args()
    return _table(wanted.pattern, wanted.jobs, not wanted.no_rehearsal)


if __name__ == "__main__":
    sys.exit(main())
