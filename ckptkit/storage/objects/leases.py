"""Leases: objects that say who works on a run. They keep busy hands apart; what is right is right without them.

A lease is created create-only and renewed by compare-and-swap. It counts as dead once its process is gone, which only
who runs on the same machine can tell, or when it was not renewed for a minute by the service's own clock.
"""

import contextlib
import os
import sys
import threading
import time
import uuid
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ckptkit.errors import CkptkitError, LockedError
from ckptkit.formats import strict_json
from ckptkit.formats.escaped import escaped
from ckptkit.manifest.redaction import redact_argv
from ckptkit.storage.objects import clock
from ckptkit.storage.objects.service import NEW, Info, Objects, Only, Unmet, Written

_DEAD = 60.0  # seconds without renewal
_RENEW = 20.0  # seconds: two may be missed
_LONGEST = 1 << 16
_MOST = 240  # characters of the other process in a message
_POLL = (0.05, 0.5)  # seconds, first and longest


class Leases:
    """The leases of one store in this process.

    Args:
        objects: the service.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._mine = uuid.uuid4().hex
        self._pid = os.getpid()
        self._held: dict[str, tuple[str, bytes]] = {}  # by key: version, content
        self._guard = threading.Lock()
        self._wake: threading.Event | None = None
        weakref.finalize(self, _let_go, objects, self._held, self._guard, self._pid)

    def holds(self, key: str) -> bool:
        """Return whether this process has the lease."""
        with self._guard:
            return key in self._own()

    def _own(self) -> dict[str, tuple[str, bytes]]:
        """Return what is held; a forked child holds nothing."""
        return self._held if os.getpid() == self._pid else {}

    def take(self, key: str, run: str, doing: str, wait: float = 0.0, *, from_own: bool = False) -> None:
        """Take a lease.

        Args:
            key: of the lease.
            run: the run that it is of.
            doing: what its holder does to the run, for the message: ``written`` or ``changed``.
            wait: seconds to wait for another process.
            from_own: what another store of this very process has is taken over.

        Raises:
            LockedError: another process has it; the message says which.
        """
        end, pause = time.monotonic() + wait, _POLL[0]
        while True:
            other = self._try(key, run, from_own=from_own)
            if other is None:
                return
            if time.monotonic() >= end:
                raise _locked(run, doing, other)
            time.sleep(pause)
            pause = min(2 * pause, _POLL[1])

    def _try(self, key: str, run: str, *, from_own: bool) -> dict[str, Any] | None:
        """Return None once the lease is ours, else what its holder wrote."""
        data = strict_json.dumps({**_note(), "lease": self._mine}, indent=1) + b"\n"
        only = NEW
        for _ in range(3):
            try:
                self._keep(key, self._objects.write(key, data, only), data)
                return None
            except Unmet:
                try:
                    there, found = self._objects.read(key, 0, _LONGEST)
                except FileNotFoundError:
                    only = NEW
                    continue
            if there == data:  # the answer to our write was lost
                self._keep(key, found, data)
                return None
            note = _read(there)
            if not (from_own and _is_this_process(note)) and not self._is_dead(note, found, run):
                return note
            only = Only(found.version)
        return {}

    def _is_dead(self, note: dict[str, Any], info: Info, run: str) -> bool:
        if note.get("machine") == _machine():
            pid = note.get("pid")
            if isinstance(pid, int) and note.get("began") != _began(pid):
                return True
            if isinstance(pid, int) and pid == os.getpid():
                return False
        return (clock.now(self._objects, run) - info.modified).total_seconds() > _DEAD

    def _keep(self, key: str, written: Written, data: bytes) -> None:
        with self._guard:
            self._held[key] = written.version, data
            if self._wake is None:
                self._wake = threading.Event()
                watched = (weakref.ref(self), self._wake)
                threading.Thread(target=_renew, args=watched, name="ckptkit lease", daemon=True).start()

    def renew(self) -> None:
        """Renew all leases; one that somebody else has taken is lost."""
        with self._guard:
            for key, (version, data) in list(self._own().items()):
                try:
                    self._held[key] = self._objects.write(key, data, Only(version)).version, data
                except Unmet:
                    self._held.pop(key, None)
                except CkptkitError:
                    continue  # the next time may do

    def let_go(self, key: str) -> None:
        """Let a lease go; without effect where it is not held."""
        with self._guard:
            held = self._own().pop(key, None)
            if not self._held and self._wake is not None:
                self._wake.set()
                self._wake = None
        if held is not None:
            with contextlib.suppress(Unmet, CkptkitError):  # it dies with this process, or in a minute
                self._objects.delete_only(key, held[0])


def _is_this_process(note: dict[str, Any]) -> bool:
    pid = os.getpid()
    return note.get("machine") == _machine() and note.get("pid") == pid and note.get("began") == _began(pid)


def _renew(watched: "weakref.ref[Leases]", ended: threading.Event) -> None:
    """Renew all leases until none is held, or nobody is there to hold any."""
    while not ended.wait(_RENEW):
        if (leases := watched()) is None:
            return
        leases.renew()
        del leases


def _let_go(objects: Objects, held: dict[str, tuple[str, bytes]], guard: threading.Lock, pid: int) -> None:
    if os.getpid() != pid:  # a forked child
        return
    with guard:
        for key, (version, _) in held.items():
            with contextlib.suppress(Unmet, CkptkitError):
                objects.delete_only(key, version)
        held.clear()


def _note() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "machine": _machine(),
        "host": os.uname().nodename,
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": redact_argv(sys.orig_argv),
    }


def _read(data: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(data)
    except strict_json.StrictJsonError:
        return {}
    return value if isinstance(value, dict) else {}


def _machine() -> str:
    """Return what tells this start of this machine, and this space of process numbers, from any other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return f"{os.uname().nodename} {uuid.getnode():x}"


def _began(pid: int) -> str | None:
    """Return when a process began, in the words of the system; None where there is none of that number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    except OSError:
        pass
    if os.path.exists("/proc/self/stat"):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "running"


def who(note: dict[str, Any]) -> str:
    """Return who has a lease, for a person."""
    if note.get("pid") is None:
        return "another process"
    words = note.get("command")
    command = " ".join(map(str, words)) if isinstance(words, list) else ""
    told = f"process {note['pid']} on {note.get('host')} since {note.get('since')}"
    return escaped(f"{told}: {command}" if command else told, _MOST)


def _locked(run: str, doing: str, note: dict[str, Any]) -> LockedError:
    return LockedError(
        f"{run}: is being {doing} by {who(note)}",
        hint="let it end, or give this run another name; what died on another machine is let go after a minute",
    )
