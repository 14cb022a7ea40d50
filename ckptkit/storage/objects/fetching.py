"""Checked copies of a checkpoint's files on this machine, for backends that want paths."""

import contextlib
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ckptkit import parallel
from ckptkit.digest import DEFAULT_ALGORITHM, algorithm_of, digest_stream
from ckptkit.durable import storage_errors
from ckptkit.errors import CkptkitError, DamagedError, StoreError
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.reading import parse
from ckptkit.storage import scratch_folders
from ckptkit.storage.interface import Entry
from ckptkit.storage.objects.files import Files
from ckptkit.storage.objects.stream import BLOCK

_THREADS = 8


@contextmanager
def fetched(owner: object, files: Files, entry: Entry, paths: Sequence[str], *, keep: bool) -> Iterator[Path]:
    """Yield a folder with copies; see ``Storage.fetch``.

    Args:
        owner: with ``keep``, the copies stay as long as this object, or the process.
        files: of the store.
        entry: the checkpoint.
        paths: of the files; what is missing is left out.
        keep: see ``owner``.

    Raises:
        DiskFullError: there is no room for the copies; see ``scratch_space``.
        StoreError: what arrives differs from one time to the next.
    """
    with contextlib.ExitStack() as held:
        digests = _digests(files, entry)
        sizes = {path: digests[path][0] if path in digests else _size(files, entry, path) for path in paths}
        folder = held.enter_context(scratch_folders.fresh(sum(sizes.values()), kept=keep))
        tasks = {path: partial(_fetch, files, entry, path, folder / path, digests.get(path)) for path in paths}
        large = [path for path in tasks if sizes[path] > BLOCK]
        with storage_errors("temporary files"):
            parallel.results([task for path, task in tasks.items() if path not in large], _THREADS, _nobody)
            for path in large:  # each has requests enough under way, and blocks in memory
                tasks[path](_nobody)
        if keep:
            weakref.finalize(owner, held.pop_all().close)
        yield folder


def _nobody(count: int) -> None:
    """Tell nobody."""


def _digests(files: Files, entry: Entry) -> Mapping[str, tuple[int, str]]:
    """Return size and digest of each file that the manifest lists; nothing where it cannot be read."""
    try:
        manifest = parse(files.read(entry, entry.manifest_file, MAX_BYTES))
    except (CkptkitError, FileNotFoundError):
        return {}
    listed = (file for item in manifest.items.values() for file in item.files)
    return {file.path: (file.size, file.digest) for file in listed}


def _size(files: Files, entry: Entry, path: str) -> int:
    """Return the size of a file that no manifest lists; 0 where it is not there."""
    try:
        return files.stat(entry, path).size
    except (FileNotFoundError, DamagedError):
        return 0


def _fetch(
    files: Files, entry: Entry, path: str, target: Path, said: tuple[int, str] | None, told: parallel.Tell
) -> None:
    """Copy one file; what is not as its manifest says is read once more: it may be damaged there, or on its way."""
    algorithm = DEFAULT_ALGORITHM if said is None else algorithm_of(said[1])
    expected = BLOCK if said is None else said[0]
    found = _copied(files, entry, path, target, algorithm, expected)
    if said is None or found is None or found == said:
        return
    again = _copied(files, entry, path, target, algorithm, expected)
    if again not in (said, found):
        raise StoreError(
            f"{files.key(entry, path)}: arrives as other bytes each time",
            hint="look for what damages them between the service and this machine",
        )


def _copied(
    files: Files, entry: Entry, path: str, target: Path, algorithm: str, expected: int
) -> tuple[int, str] | None:
    """Copy a file, and return its size and digest; None where it is not there."""
    try:
        stream = files.open(entry, path)
    except (FileNotFoundError, CkptkitError) as error:
        if isinstance(error, StoreError):
            raise
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with stream, open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as copy:
        return digest_stream(stream, expected=expected, algorithm=algorithm, copy=copy)
