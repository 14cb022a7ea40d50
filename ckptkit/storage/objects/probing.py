"""What an object service can do, found out by doing it under a scratch prefix, of which nothing stays."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime

from ckptkit.errors import CkptkitError
from ckptkit.health import Finding
from ckptkit.storage.objects import clock
from ckptkit.storage.objects.requests import SupportsDamage
from ckptkit.storage.objects.service import NEW, Objects, Only, Power, Unmet

ABOUT = "service"
_APART = 60.0  # seconds that two clocks may differ: ages are of hours
_RACERS = 4
_ROUNDS = 3
_SIZE = 1 << 16  # bytes of what is read in parts, or while it is written over
_WRITES = 10

_CAN: dict[Power, str] = {
    "create": "an object is made only where there is none: of two saves of one step exactly one wins",
    "swap": "an object is written only over a known version: no pin, tag or index entry is lost",
    "ranges": "parts are read without the rest",
    "checksums": "what arrives damaged is refused",
    "replace": "who reads while an object is written over gets the old or the new one",
}
_CANNOT: dict[Power, tuple[str, str]] = {
    "create": (
        "an object that is there can be written over by a second save of the same step: the later one wins",
        "see to it that one process at a time saves a run",
    ),
    "swap": (
        "of two changes at the same time one is lost: a pin, a tag, or an entry of the index",
        "see to it that one process at a time changes a run; `ckptkit index --rebuild` mends the index",
    ),
    "ranges": ("each read takes a whole object", "keep large checkpoints elsewhere"),
    "checksums": (
        "what arrives damaged is stored: a save finds other sizes only, `ckptkit verify` finds the rest",
        "verify what was saved: `ckptkit verify --latest`",
    ),
    "replace": (
        "who reads while an object is written over may get neither the old nor the new one",
        "see to it that one process at a time changes a run",
    ),
}


def examine(objects: Objects) -> Iterator[Finding]:
    """Yield what the service can do, beginning with a write; whatever is wrong is yielded, never raised."""
    scratch = f".probe-{uuid.uuid4().hex}/"  # no name of a run: nobody lists it
    try:
        begun = time.time()
        moment = clock.told(objects, f"{scratch}written")
        objects.delete([f"{scratch}written"])
    except CkptkitError as error:
        yield Finding("store", "writable", "problem", f"nothing can be saved here ({error.message})", error.hint)
        return
    except FileNotFoundError as error:
        yield Finding("store", "writable", "problem", f"nothing can be saved here ({error})", "correct --store")
        return
    yield Finding("store", "writable", "ok", f"{objects.url}: an object was written and removed")
    try:
        yield _clock(moment, begun)
        for power, attempt in _ATTEMPTS.items():
            yield _tried(objects, power, attempt, f"{scratch}{power}")
    finally:
        with suppress(Exception):
            objects.delete([info.key for info in objects.below(scratch)])


def _tried(objects: Objects, power: Power, attempt: Callable[[Objects, str], bool | None], key: str) -> Finding:
    try:
        can = attempt(objects, key)
    except (CkptkitError, FileNotFoundError, Unmet) as error:
        told = f"could not be tried ({error})"
        return Finding(ABOUT, power, "warning", told, "try again", {"can": None})
    if can is None:
        return Finding(ABOUT, power, "ok", "could not be tried here", details={"can": None})
    if can and power not in objects.powers:
        can = False  # it went well this once, as it does where a write looks just before
    if can:
        return Finding(ABOUT, power, "ok", _CAN[power], details={"can": True})
    told, todo = _CANNOT[power]
    return Finding(ABOUT, power, "warning", told, todo, {"can": False})


def _clock(modified: datetime, begun: float) -> Finding:
    apart = modified.timestamp() - min(max(modified.timestamp(), begun - 1), time.time())
    details = {"seconds_apart": round(apart, 3)}
    if abs(apart) <= _APART:
        return Finding(ABOUT, "clock", "ok", "the clocks of the service and of this machine agree", details=details)
    way = "ahead of" if apart > 0 else "behind"
    told = f"the clock of the service is {abs(apart):.0f} seconds {way} that of this machine"
    return Finding(ABOUT, "clock", "warning", told, "set this machine's by NTP", details)


def _create(objects: Objects, key: str) -> bool:
    objects.write(key, b"first", NEW)
    if _meets(objects, key, b"other", NEW) or objects.read(key)[0] != b"first":
        return False
    return all(_one_wins(objects, f"{key}-{turn}", NEW) for turn in range(_ROUNDS))


def _swap(objects: Objects, key: str) -> bool:
    old = objects.write(key, b"old").version
    if not _meets(objects, key, b"new", Only(old)) or _meets(objects, key, b"late", Only(old)):
        return False
    return all(_one_wins(objects, key, Only(objects.write(key, b"%d" % turn).version)) for turn in range(_ROUNDS))


def _meets(objects: Objects, key: str, data: bytes, only: Only) -> bool:
    try:
        objects.write(key, data, only)
    except Unmet:
        return False
    return True


def _one_wins(objects: Objects, key: str, only: Only) -> bool:
    """Let several write at the same time, and return whether one won, and it is what is there."""
    gate = threading.Barrier(_RACERS)
    won: list[bytes] = []
    failed: list[Exception] = []

    def race(number: int) -> None:
        data = f"racer {number}".encode()
        gate.wait()
        try:
            if _meets(objects, key, data, only):
                won.append(data)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(_RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return len(won) == 1 and objects.read(key)[0] == won[0]


def _ranges(objects: Objects, key: str) -> bool:
    data = bytes(range(256)) * (_SIZE // 256)
    objects.write(key, data)
    return objects.read(key, 1000, 300)[0] == data[1000:1300]


def _checksums(objects: Objects, key: str) -> bool | None:
    return objects.refuses_damaged(key) if isinstance(objects, SupportsDamage) else None


def _replace(objects: Objects, key: str) -> bool:
    """Write over an object again and again while it is read."""
    contents = [letter * _SIZE for letter in (b"a", b"b")]
    objects.write(key, contents[0])
    failed: list[Exception] = []
    done = threading.Event()

    def write() -> None:
        try:
            for turn in range(_WRITES):
                objects.write(key, contents[(turn + 1) % 2])
        except Exception as error:
            failed.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    whole = True
    try:
        while not done.is_set():
            whole = whole and objects.read(key)[0] in contents
    except FileNotFoundError:
        whole = False
    finally:
        writer.join()
    if failed:
        raise failed[0]
    return whole


_ATTEMPTS: dict[Power, Callable[[Objects, str], bool | None]] = {
    "create": _create,
    "swap": _swap,
    "ranges": _ranges,
    "checksums": _checksums,
    "replace": _replace,
}
