"""Rehearse a checkpoint beside the run that saved it, in a process that can outlive it and never gets in its way.

The process starts with no inherited files or locks, in a session of its own, and lowers its own priority (``lowly``).
It writes what it finds into the checkpoint's ``shown.json``; the live run only checks now and then whether it is done.
"""

import atexit
import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from ckptkit.backend import Proof
from ckptkit.manifest.models import Manifest
from ckptkit.parting import last_line
from ckptkit.storage import Entry, Storage
from ckptkit.store import headroom

LOG = logging.getLogger("ckptkit")
PRIORITY = "CKPTKIT_BACKGROUND"
"""``low`` (as when it is not set), ``normal``: rehearsals have the run's own priority, ``never``: none is started."""
MARK = "ckptkit-rehearsal:"
_EVERY = 1.0  # seconds between two looks


@dataclass
class _Running:
    at: Entry
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]


class Background:
    """Runs at most one rehearsal of a run at a time.

    Args:
        storage: the store.
        run: name of the run.
        template: the resume command; the manifest's when None.
        seconds: limit for the rehearsal.
    """

    def __init__(self, storage: Storage, run: str, template: Sequence[str] | None, seconds: int) -> None:
        self._storage = storage
        self._run = run
        self._template = template
        self._seconds = seconds
        self._running: _Running | None = None
        self._next_look = 0.0
        self._told: set[str] = set()

    def can(self, manifest: Manifest) -> bool:
        """Return whether a rehearsal of this checkpoint is wanted, and something says how to resume it."""
        commanded = self._template is not None or manifest.resume is not None
        return commanded and os.environ.get(PRIORITY) != "never"

    def start(self, at: Entry, manifest: Manifest, steps: int) -> None:
        """Start a rehearsal of an observed checkpoint, or say once why not, and what to do instead."""
        priority = os.environ.get(PRIORITY)
        if priority == "never" or self._running is not None:
            return
        if self._template is None and manifest.resume is None:
            self._tell(
                "no-command",
                "nothing says how to resume it, so it cannot prove itself: give save(..., resume=[...]) or "
                "observe(..., resume=[...]) the command, such as ['python', 'train.py', '--resume', '{run}@{step}']",
            )
            return
        reason = headroom.why_not() if self._storage.outlives else "no other process can open its store"
        if reason is not None:
            self._tell("no-room", f"not rehearsed in the background: {reason}; later: {self._by_hand(at, steps)}")
            return
        job = {
            "url": self._storage.url,
            "run": at.run,
            "name": at.name,
            "layout": at.layout.kind,
            "steps": steps,
            "template": self._template,
            "seconds": self._seconds,
            "low": priority != "normal",
        }
        output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        command = [sys.executable, "-P", "-m", "ckptkit.store.lowly", json.dumps(job)]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            output.close()
            self._tell("no-start", f"the rehearsal cannot be started: {error}")
            return
        self._running = _Running(at, process, output)
        atexit.register(self._leave)
        LOG.info("%s: being rehearsed in the background", at.ref)

    @property
    def rehearsed(self) -> Sequence[Entry]:
        """The checkpoint whose rehearsal is under way, if any."""
        return [] if self._running is None else [self._running.at]

    @property
    def running(self) -> bool:
        """Whether a rehearsal was started whose end has not been seen yet."""
        return self._running is not None

    def look(self, *, now: bool = False) -> None:
        """Report the outcome of the rehearsal, if it is done.

        Most of the time this costs a comparison of two numbers.
        """
        running = self._running
        if running is None or (not now and time.monotonic() < self._next_look):
            return
        self._next_look = time.monotonic() + _EVERY
        if running.process.poll() is None:
            return
        self._running = None
        atexit.unregister(self._leave)
        with running.output as output:
            output.seek(0)
            said = output.read()
        lines = said.decode(errors="replace").splitlines()
        told = next((line for line in reversed(lines) if line.startswith(MARK)), None)
        if told is None:
            proof = Proof("unproven", f"it ended with {running.process.returncode}: {last_line(said)[:200]}")
        else:
            proof = Proof(**json.loads(told.removeprefix(MARK)))
        self._say(running.at.ref, proof)

    def _say(self, ref: str, proof: Proof) -> None:
        if proof.verdict == "same":
            LOG.info("%s: rehearsed %d steps, the same", ref, proof.steps)
        elif proof.verdict == "unproven":
            self._tell("unproven", f"the rehearsal of {ref} proved nothing: {proof.reason}")
        else:
            LOG.warning(
                "%s: a resume from here does not continue as this run does. Rehearsed %d steps, first difference: %s",
                ref,
                proof.steps,
                proof.reason,
            )

    def _leave(self) -> None:
        self.look(now=True)
        if (running := self._running) is not None:
            LOG.info("%s: the rehearsal continues; `ckptkit show` will tell the outcome", running.at.ref)
            running.process.returncode = 0  # it is left to itself on purpose: no warning of a forgotten process

    def _by_hand(self, at: Entry, steps: int) -> str:
        root = shlex.quote(self._storage.url)  # the line is pasted wherever a person is
        return f"ckptkit --store {root} verify {shlex.quote(at.ref)} --level resume --steps {steps}"

    def _tell(self, kind: str, text: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            LOG.warning("%s: %s", self._run, text)
