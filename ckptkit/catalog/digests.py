"""Digest a file of a store, read once, wherever it is."""

from collections.abc import Callable

from ckptkit.digest import digest_stream
from ckptkit.errors import ConflictError, DamagedError
from ckptkit.storage import Entry


def digest(at: Entry, path: str, algorithm: str, *, on_bytes: Callable[[int], None] | None = None) -> tuple[int, str]:
    """Return ``(size in bytes, algorithm:hex)`` of a file.

    Args:
        at: the checkpoint.
        path: of the file, as the manifest lists it.
        algorithm: ``blake3`` or ``sha256``.
        on_bytes: called with the size of each block read.

    Raises:
        DamagedError: it is not there, or is not a regular file.
        ConflictError: it changed while it was read.
        StoreError: it cannot be read.
    """
    try:
        with at.storage.open(at, path) as stream:
            before = at.storage.stat(at, path)
            size, found = digest_stream(stream, before.size, algorithm, on_bytes=on_bytes)
            after = at.storage.stat(at, path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: is missing") from error
    if before != after or size != after.size:
        raise ConflictError(f"{path}: changed while it was read", hint="try again when nothing writes to it")
    return size, found
