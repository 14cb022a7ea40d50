"""Share the files of a checkpoint out among threads: several at a time, and a large one to all of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from ckptkit import cores, parallel
from ckptkit.digest import LARGE
from ckptkit.durable import DESCRIPTORS
from ckptkit.manifest.models import FileEntry

_OPEN = DESCRIPTORS // 2  # files at a time, of all threads together
SMALL = 1 << 16  # bytes: below, several threads would only wait for each other
_BATCH = 1 << 25  # bytes of one task

T = TypeVar("T")
Work = Callable[[FileEntry, parallel.Tell, int], T]
"""Does something with a file, tells how many bytes it did, and may use so many threads for it."""


def results(
    files: Sequence[FileEntry],
    work: Work[T],
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    opens: int = 1,
) -> list[T]:
    """Return what the work makes of each file, in the order of the files.

    A file that is more than one job's share has all of them, one such file after the other. The rest is shared out:
    each job has one file at a time.

    Args:
        files: of a manifest.
        work: called for each.
        jobs: how many threads work at a time; all cores when left out.
        on_bytes: called with how much was done, in this thread.
        opens: how many files the work holds open.

    Raises:
        Exception: what the work raised first; nothing is worked on any more then.
    """
    jobs, tell = cores.available() if jobs is None else jobs, on_bytes or _nobody
    total = sum(file.size for file in files)
    done = {f.path: work(f, tell, jobs) for f in files if f.size >= LARGE and f.size * jobs > total}
    tasks = [partial(_of_batch, batch, work) for batch in _batches([f for f in files if f.path not in done])]
    done |= chain.from_iterable(parallel.results(tasks, min(jobs, _OPEN // opens), tell))
    return [done[file.path] for file in files]


def _nobody(count: int) -> None:
    """Tell nobody."""


def _batches(files: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    """Yield all small files together, and as many of the others at a time as make up a task."""
    if small := [file for file in files if file.size < SMALL]:
        yield small
    batch, size = [], 0
    for file in files:
        if file.size >= SMALL:
            batch.append(file)
            size += file.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _of_batch(batch: Sequence[FileEntry], work: Work[T], tell: parallel.Tell) -> list[tuple[str, T]]:
    return [(file.path, work(file, tell, 1)) for file in batch]
