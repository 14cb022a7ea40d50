"""Purge what is left over: its name goes in one step, under the lock of its run; its bytes are freed after that."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ckptkit import cores, parallel
from ckptkit.errors import CkptkitError
from ckptkit.storage import Leftover, Storage

_THREADS = 8  # a file system frees no faster for more


def set_aside(storage: Storage, garbage: Iterable[Leftover], failures: list[str]) -> dict[Leftover, Leftover]:
    """Take leftovers out of sight; return what to purge, by what was asked for.

    It lasts when this returns: otherwise a power cut could put back a name of which half of the bytes are freed.
    """
    aside = {}
    for leftover in garbage:
        try:
            aside[leftover] = storage.set_aside(leftover)
        except CkptkitError as error:
            failures.append(error.message)
    try:
        storage.make_last([*aside.values()])
    except CkptkitError as error:
        failures.append(error.message)
        return {}
    return aside


def purge(
    storage: Storage,
    aside: Mapping[Leftover, Leftover],
    failures: list[str],
    *,
    on_bytes: Callable[[int], None] | None = None,
    jobs: int | None = None,
) -> list[Leftover]:
    """Free what was set aside, several at a time; return what is gone, as it was called before.

    Args:
        storage: the store.
        aside: from ``set_aside``.
        failures: gets a line for each that could not be purged.
        on_bytes: called with the sizes of what is freed, in this thread; sizes cost a look at each file.
        jobs: how many at a time; as many as there are cores when left out.
    """
    tasks = [partial(_freed, storage, leftover, on_bytes is not None) for leftover in aside.values()]
    threads = min(cores.available() if jobs is None else jobs, _THREADS)
    told = parallel.results(tasks, threads, on_bytes or _nobody)
    failures += [failure for failure in told if failure is not None]
    return [leftover for leftover, failure in zip(aside, told, strict=True) if failure is None]


def _freed(storage: Storage, leftover: Leftover, watched: bool, tell: parallel.Tell) -> str | None:
    """Return why a leftover could not be purged, if so."""
    try:
        storage.purge(leftover, tell if watched else None)
    except CkptkitError as error:
        return error.message
    return None


def _nobody(count: int) -> None:
    """Tell nobody."""
