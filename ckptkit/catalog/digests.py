"""Digest files of a store, each read once, wherever they are; as it is read, a file can be copied too."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ckptkit import parallel
from ckptkit.catalog import shares
from ckptkit.digest import algorithm_of, digest_bytes, digest_stream
from ckptkit.errors import CkptkitError, ConflictError, DamagedError
from ckptkit.manifest.models import FileEntry
from ckptkit.storage import Entry, Stamp
from ckptkit.storage.remote import SupportsStats

_MANY = 16  # small files: from here on the stamps of the whole checkpoint take less time than a look at each
Found = tuple[int, str] | CkptkitError
"""Size in bytes and ``algorithm:hex`` of a file, or why it cannot be told."""


def digest(
    at: Entry,
    path: str,
    algorithm: str,
    *,
    on_bytes: Callable[[int], None] | None = None,
    threads: int = 1,
    copy: BinaryIO | None = None,
) -> tuple[int, str]:
    """Return ``(size in bytes, algorithm:hex)`` of a file.

    Args:
        at: the checkpoint.
        path: of the file, as the manifest lists it.
        algorithm: ``blake3`` or ``sha256``.
        on_bytes: called with the size of each block read.
        threads: how many may work on it.
        copy: what is read is written here.

    Raises:
        DamagedError: it is not there, or is not a regular file.
        ConflictError: it changed while it was read.
        StoreError: it cannot be read.
        OSError: the copy cannot be written.
    """
    try:
        with at.storage.open(at, path) as stream:
            before = at.storage.stat(at, path)
            size, found = digest_stream(stream, before.size, algorithm, on_bytes=on_bytes, threads=threads, copy=copy)
            after = at.storage.stat(at, path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is missing") from error
    if before != after or size != after.size:
        raise _changed(path)
    return size, found


def digests(
    at: Entry,
    files: Sequence[FileEntry],
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    into: Path | None = None,
    before: Mapping[str, Stamp] | None = None,
) -> list[Found]:
    """Return what each file is digested to by the algorithm of its manifest, in the order of the files.

    Args:
        at: the checkpoint.
        files: of its manifest.
        jobs: how many threads work at a time; all cores when left out.
        on_bytes: called with how much was read, in this thread.
        into: a folder, with those that the files lie in: what is read is written there, at the same paths.
        before: the stamps of the checkpoint, where they were taken already: a file that changed since has changed.

    Raises:
        OSError: a copy cannot be written.
    """
    stamped = _stamped(at, files, before)
    work = partial(_tried, at, stamped or {}, into)
    found = shares.results(files, work, jobs=jobs, on_bytes=on_bytes, opens=1 if into is None else 2)
    if stamped is None:
        return found
    after = at.storage.stamps(at, stamped) or {}
    return [
        _changed(file.path) if file.path in stamped and stamped[file.path] != after.get(file.path) else one
        for file, one in zip(files, found, strict=True)
    ]


def _stamped(at: Entry, files: Sequence[FileEntry], before: Mapping[str, Stamp] | None) -> dict[str, Stamp] | None:
    """Return the stamps of small files, if there are many: all at once, before and after, in half the time."""
    small = [file.path for file in files if file.size < shares.SMALL]
    if len(small) < (2 if isinstance(at.storage, SupportsStats) else _MANY):  # a look may have to wait for a service
        return None
    stamps = at.storage.stamps(at, small) if before is None else before
    return None if stamps is None else {path: stamps[path] for path in small if path in stamps}


def _tried(
    at: Entry, stamped: Mapping[str, Stamp], into: Path | None, file: FileEntry, tell: parallel.Tell, threads: int
) -> Found:
    if into is None:
        return _found(at, stamped, file, tell, threads)
    with (into / file.path).open("wb") as copy:
        return _found(at, stamped, file, tell, threads, copy)


def _found(
    at: Entry,
    stamped: Mapping[str, Stamp],
    file: FileEntry,
    tell: parallel.Tell,
    threads: int,
    copy: BinaryIO | None = None,
) -> Found:
    algorithm = algorithm_of(file.digest)
    try:
        if file.path not in stamped:
            return digest(at, file.path, algorithm, on_bytes=tell, threads=threads, copy=copy)
        data = at.storage.read(at, file.path, file.size)
        tell(len(data))
        if copy is not None:
            copy.write(data)
        return (file.size, digest_bytes(data, algorithm)) if len(data) == file.size else _changed(file.path)
    except FileNotFoundError:
        return _changed(file.path)
    except CkptkitError as error:
        return error


def _changed(path: str) -> ConflictError:
    return ConflictError(f"{path}: changed while it was read", hint="try again when nothing writes to it")
