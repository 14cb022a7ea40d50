"""Run a resume command in a scratch copy until it has gone far enough, and end everything it started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit import scratch
from ckptkit.parting import last_line
from ckptkit.store import rehearsed, resuming
from ckptkit.store.rehearsed import Notes
from ckptkit.store.scratching import Place

_POLL = 0.1
_PATIENCE = 5.0  # seconds between asking a process to end and ending it: nothing that it would save is kept


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a run.

    Attributes:
        notes: what the run noted, or None.
        ended: how it ended by itself, in words, or None if it went as far as it was asked to go.
    """

    notes: Notes | None
    ended: str | None


def run(place: Place, *, steps: int, until: int = 0, template: Sequence[str] | None, seconds: float) -> Attempt:
    """Run the command until it is over.

    Args:
        place: the scratch copy.
        steps: how many steps to note.
        until: the last step; ``steps`` counts when 0.
        template: the command; the manifest's when None.
        seconds: limit.

    Raises:
        UsageError: nothing says how to resume it.
    """
    command = resuming.resume_command(place.storage, place.chosen, template=template)
    argv = [place.in_place(argument) for argument in command.argv]
    log = place.folder / "log"
    cwd = command.cwd if command.cwd and Path(command.cwd).is_dir() else None
    with log.open("wb") as output:
        try:
            # A group of its own, to be ended as one; the session stays, as a low priority may be the session's.
            process = subprocess.Popen(
                argv, cwd=cwd, env=place.environment(steps, until), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, process_group=0,
            )  # fmt: skip
        except OSError as error:
            return Attempt(None, f"{argv[0]}: {error.strerror}")
        try:
            over = _wait(process, place, steps, until, seconds)
        finally:
            _end(process, place)
    notes = rehearsed.read(place.notes)
    if over == "late":
        return Attempt(notes, f"the command did not get there within {seconds:.0f} seconds")
    if over != "ended" or (notes is not None and notes.over):
        return Attempt(notes, None)
    return Attempt(notes, f"the command ended with {process.returncode}: {last_line(log.read_bytes())[:200]}")


def _wait(process: "subprocess.Popen[bytes]", place: Place, steps: int, until: int, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    far_enough = until or place.chosen.manifest.step + steps
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return "ended"
        notes = rehearsed.read(place.notes)
        if notes is not None and notes.over:
            return "noted"
        # A script without an observer is over when it has saved that far.
        if notes is None and any(
            (at.step or 0) >= far_enough and at.identity is not None for at in place.storage.scan(place.chosen.at.run)
        ):
            return "saved"
        time.sleep(_POLL)
    return "late"


def _end(process: "subprocess.Popen[bytes]", place: Place) -> None:
    if process.poll() is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    _signal(process.pid, signal.SIGKILL)  # also what it left behind in its group
    for pid in _strays(str(place.folder)):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _strays(folder: str) -> list[int]:
    """Return processes of this rehearsal that left its group (launchers start some), known by their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            text = entry.read_bytes()
            if f"{scratch.VARIABLE}=".encode() in text and folder.encode() in text:
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]
