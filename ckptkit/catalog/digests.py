"""Digest files of a store, each read once, wherever they are: several at a time, and a large one by several threads."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

from ckptkit import cores, parallel
from ckptkit.digest import LARGE, algorithm_of, digest_stream
from ckptkit.durable import DESCRIPTORS
from ckptkit.errors import CkptkitError, ConflictError, DamagedError
from ckptkit.manifest.models import FileEntry
from ckptkit.storage import Entry

_READERS = DESCRIPTORS // 2  # files open at a time
_SMALL = 1 << 16  # bytes: below, several threads would only wait for each other
_BATCH = 1 << 25  # bytes of one task

Found = tuple[int, str] | CkptkitError
"""Size in bytes and ``algorithm:hex`` of a file, or why it cannot be told."""


def digest(
    at: Entry, path: str, algorithm: str, *, on_bytes: Callable[[int], None] | None = None, threads: int = 1
) -> tuple[int, str]:
    """Return ``(size in bytes, algorithm:hex)`` of a file.

    Args:
        at: the checkpoint.
        path: of the file, as the manifest lists it.
        algorithm: ``blake3`` or ``sha256``.
        on_bytes: called with the size of each block read.
        threads: how many may work on it.

    Raises:
        DamagedError: it is not there, or is not a regular file.
        ConflictError: it changed while it was read.
        StoreError: it cannot be read.
    """
    try:
        with at.storage.open(at, path) as stream:
            before = at.storage.stat(at, path)
            size, found = digest_stream(stream, before.size, algorithm, on_bytes=on_bytes, threads=threads)
            after = at.storage.stat(at, path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is missing") from error
    if before != after or size != after.size:
        raise ConflictError(f"{path}: changed while it was read", hint="try again when nothing writes to it")
    return size, found


def digests(
    at: Entry,
    files: Sequence[FileEntry],
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> list[Found]:
    """Return what each file is digested to by the algorithm of its manifest, in the order of the files.

    A file that is more than one job's share has all of them, one such file after the other. The rest is shared out:
    each job reads one file at a time.

    Args:
        at: the checkpoint.
        files: of its manifest.
        jobs: how many threads work at a time; all cores when left out.
        on_bytes: called with how much was read, in this thread.
    """
    jobs, tell = cores.available() if jobs is None else jobs, on_bytes or _nobody
    total = sum(file.size for file in files)
    alone = [file for file in files if file.size >= LARGE and file.size * jobs > total]
    found = {file.path: _tried(at, file, tell, jobs) for file in alone}
    tasks = [partial(_of_batch, at, batch) for batch in _batches([f for f in files if f.path not in found])]
    found |= chain.from_iterable(parallel.results(tasks, min(jobs, _READERS), tell))
    return [found[file.path] for file in files]


def _nobody(count: int) -> None:
    """Tell nobody."""


def _batches(files: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    """Yield all small files together, and as many of the others at a time as make up a task."""
    if small := [file for file in files if file.size < _SMALL]:
        yield small
    batch, size = [], 0
    for file in files:
        if file.size >= _SMALL:
            batch.append(file)
            size += file.size
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _of_batch(at: Entry, batch: Sequence[FileEntry], tell: parallel.Tell) -> list[tuple[str, Found]]:
    return [(file.path, _tried(at, file, tell, 1)) for file in batch]


def _tried(at: Entry, file: FileEntry, tell: parallel.Tell, threads: int) -> Found:
    try:
        return digest(at, file.path, algorithm_of(file.digest), on_bytes=tell, threads=threads)
    except CkptkitError as error:
        return error
