"""What the file system of a store can do, found out by doing it in a scratch folder, of which nothing stays."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from ckptkit.durable import storage_errors, write_file
from ckptkit.errors import DiskFullError, StoreError
from ckptkit.health import Finding, State
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage import mounts
from ckptkit.storage.local import locks, preflight, replacing, stamps

ABOUT = "file system"
_APART = 2.0  # seconds that two clocks may differ: the coarsest file times in use
_BORN = 1_700_000_000  # seconds since 1970; no clock that is right says less
_ASK = (
    "import fcntl, sys\n"
    "try: fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "except OSError: sys.exit(3)"
)


def examine(folder: Path) -> Iterator[Finding]:
    """Yield what can be done in a folder, beginning with a whole save in small."""
    scratch = folder / f".probe-{uuid.uuid4().hex}"  # no name of a run or of a checkpoint: nobody lists it
    try:
        try:
            preflight.probe(scratch, scratch / STATE_FOLDER, needed=0)
        except StoreError as error:
            yield _not_writable(folder, error)
            return
        told = "a checkpoint can be saved: one was written, flushed, renamed and removed"
        yield Finding("store", "writable", "ok", told)
        yield _kind(folder)
        for look in (_clock, _exclusive, _exchange, _link, _flock, _record_lock, _time_of_change):
            yield _looked(look, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _not_writable(folder: Path, error: StoreError) -> Finding:
    cause: BaseException | None = error
    while cause is not None and not getattr(cause, "strerror", None):
        cause = cause.__cause__
    reason = getattr(cause, "strerror", None) or error.message
    todo = "correct the owner and permissions of the folder, or name another --store; list, verify and restore work"
    todo = error.hint if isinstance(error, DiskFullError) else todo
    return Finding("store", "writable", "problem", f"{folder}: nothing can be saved here ({reason})", todo)


def _looked(look: Callable[[Path], Finding], scratch: Path) -> Finding:
    name = look.__name__.strip("_").replace("_", "-")
    place = scratch / name
    try:
        with storage_errors(name):
            place.mkdir()
            return look(place)
    except StoreError as error:
        return Finding(ABOUT, name, "problem", error.message, "choose another file system for the store")


def _kind(folder: Path) -> Finding:
    kind = mounts.kind_of(folder, mounts.table())
    network = mounts.is_network(kind)
    where = "on a network: other machines may write there too" if network else "of this machine"
    told = f"{kind}, {where}" if kind else "of an unknown kind: there is no mount table"
    return Finding(ABOUT, "kind", "ok", told, details={"kind": kind, "network": network})


def _clock(place: Path) -> Finding:
    before = time.time()
    write_file(place / "file", b"x")
    written = os.stat(place / "file").st_mtime
    apart = written - min(max(written, before), time.time())
    details = {"seconds_apart": round(apart, 3)}
    if before < _BORN:
        now = time.strftime("%Y-%m-%d", time.gmtime(before))
        return Finding(ABOUT, "clock", "problem", f"this machine says that today is {now}", "set its clock", details)
    if abs(apart) > _APART:
        way = "ahead of" if apart > 0 else "behind"
        told = f"the clock of the file system is {abs(apart):.0f} seconds {way} that of this machine"
        todo = "set both by NTP; the ages that retention and the trash go by are off by as much"
        return Finding(ABOUT, "clock", "warning", told, todo, details)
    return Finding(ABOUT, "clock", "ok", "the clocks of the file system and of this machine agree", details=details)


def _exclusive(place: Path) -> Finding:
    for name in ("one", "other"):
        (place / name).mkdir()
        write_file(place / name / "file", b"x")
    try:
        os.rename(place / "one", place / "other")
    except OSError:
        return Finding(ABOUT, "exclusive", "ok", "a rename is atomic, and replaces no checkpoint that is there")
    told = "a rename replaces a folder that is not empty: of two saves of one step the later one wins"
    return Finding(ABOUT, "exclusive", "problem", told, "choose another file system for the store")


def _exchange(place: Path) -> Finding:
    for name in ("one", "other"):
        (place / name).mkdir()
    if replacing.exchange(place / "one", place / "other"):
        return Finding(ABOUT, "exchange", "ok", "two names can be exchanged in one step, as `save --replace` does")
    told = "two names cannot be exchanged in one step: a kill in `save --replace` may leave the old one in the trash"
    return Finding(ABOUT, "exchange", "warning", told, "`ckptkit undelete` takes it back then")


def _link(place: Path) -> Finding:
    write_file(place / "one", b"x")
    try:
        os.link(place / "one", place / "other")
    except OSError as error:
        told = f"a file cannot have two names ({error.strerror}): no manifest can be written beside flat files"
        return Finding(ABOUT, "link", "warning", told, "`ckptkit save` copies such files into a checkpoint instead")
    return Finding(ABOUT, "link", "ok", "a file can be created only where there is none")


def _flock(place: Path) -> Finding:
    descriptors = [os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for _ in range(2)]
    try:
        locks.try_lock(descriptors[0])
        kept = not locks.try_lock(descriptors[1])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    without = "a save and a prune at the same time do not wait for each other, and lose nothing"
    return _locks("flock", kept, "saves and prunes", f"no locks (flock): {without}")


def _record_lock(place: Path) -> Finding:
    """Ask in another process: a process never stands in its own way."""
    path = place / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        locks.granted(lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
        asked = subprocess.run([sys.executable, "-I", "-S", "-c", _ASK, str(path)], timeout=30, check=False)
    except subprocess.SubprocessError as error:
        return Finding(ABOUT, "record-lock", "warning", f"locks between processes could not be tried ({error})")
    finally:
        os.close(descriptor)
    without = "two trainings of one run are not kept apart"
    return _locks("record-lock", asked.returncode == 3, "two trainings of one run", f"no locks (fcntl): {without}")


def _locks(name: str, kept: bool, whom: str, without: str) -> Finding:
    state: State = "ok" if kept else "warning"
    told = f"locks work, and keep {whom} apart" if kept else without
    return Finding(ABOUT, name, state, told, "" if kept else "see to it that one process at a time writes a run")


def _time_of_change(place: Path) -> Finding:
    write_file(place / "file", b"x")
    kept = stamps.keeps_time_of_change(place) and stamps.settled({}, place)
    if kept:
        return Finding(
            ABOUT, "time-of-change", "ok", "a file's time of change tells what is unchanged since it verified"
        )
    told = "no time of change that can be relied on: what verified is read again each time"
    return Finding(
        ABOUT, "time-of-change", "warning", told, "verify with `--sample 1/7` each day, or keep the store elsewhere"
    )
