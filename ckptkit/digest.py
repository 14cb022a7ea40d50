"""Digests of files and bytes, written ``algorithm:hex``: BLAKE3 by default, SHA-256 for signing and interop.

Source: https://github.com/BLAKE3-team/BLAKE3-specs (BLAKE3, 256-bit output) and FIPS 180-4 (SHA-256).
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from ckptkit import blocks
from ckptkit.errors import ConflictError, DamagedError, StoreError, UsageError

DEFAULT_ALGORITHM = "blake3"
ALGORITHMS = ("blake3", "sha256")
DIGEST_PATTERN = r"^(blake3|sha256):[0-9a-f]{64}$"
LARGE = 1 << 23  # bytes: from here on several threads on one file are worth their start
MAPPED = 1 << 28  # bytes: from here on mapping saves more than the start of a process costs
_BLOCK = 1 << 20  # 256 KiB to 4 MiB cost the same CPU; 1 MiB was the fastest read size measured
_CHECK = re.compile(DIGEST_PATTERN)


def new_hasher(algorithm: str, threads: int = 1) -> Any:
    """Return a fresh hasher (``update``, ``hexdigest``); raises UsageError for an unknown algorithm.

    Args:
        algorithm: ``blake3`` or ``sha256``.
        threads: how many share a block, where the algorithm lets them: BLAKE3 does, SHA-256 does not.
    """
    if algorithm == "blake3":
        import blake3

        return blake3.blake3(max_threads=threads)
    if algorithm == "sha256":
        return hashlib.sha256()
    raise UsageError(f"unknown digest algorithm {algorithm!r}", hint=f"use one of {', '.join(ALGORITHMS)}")


def digest_bytes(data: bytes, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Return ``algorithm:hex`` of the bytes."""
    hasher = new_hasher(algorithm)
    hasher.update(data)
    return f"{algorithm}:{hasher.hexdigest()}"


def algorithm_of(digest: str) -> str:
    """Return the algorithm of a written digest; raises DamagedError unless it is well formed."""
    if not _CHECK.match(digest):
        raise DamagedError(f"not a digest: {digest[:80]!r}")
    return digest.partition(":")[0]


def open_regular(path: Path | str) -> int:
    """Open a regular file for reading and return its descriptor; never follows a symlink, never blocks on a FIFO.

    Raises:
        DamagedError: it is a symlink, a folder, a device, a socket or a FIFO.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if os.path.islink(path):
            raise DamagedError(f"{path}: is a symbolic link, not a regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedError(f"{path}: is not a regular file")
    return descriptor


def digest_stream(
    stream: BinaryIO,
    expected: int,
    algorithm: str = DEFAULT_ALGORITHM,
    *,
    on_bytes: Callable[[int], None] | None = None,
    threads: int = 1,
    copy: BinaryIO | None = None,
) -> tuple[int, str]:
    """Return ``(size in bytes, algorithm:hex)`` of all that a stream holds, read once.

    Args:
        stream: read to its end, unbuffered where it can be.
        expected: about how many bytes there are.
        algorithm: ``blake3`` or ``sha256``.
        on_bytes: called with the size of each block read.
        threads: how many may work on a large stream: one reads ahead of the others, which digest.
            Where there is a copy, one does all.
        copy: each block is written here too.

    Raises:
        StoreError: it cannot be read.
        OSError: the copy cannot be written.
    """
    if algorithm == "blake3" and copy is None and expected >= MAPPED:
        found = _mapped(stream, expected, threads, on_bytes)
        if found is not None:
            return found
    source: Any = getattr(stream, "raw", stream)

    def fill(buffer: bytearray) -> int:
        try:
            return source.readinto(buffer) or 0
        except OSError as error:
            raise StoreError(f"{getattr(stream, 'name', 'stream')}: cannot be read ({error.strerror})") from error

    many = threads > 1 and expected >= LARGE and copy is None  # large blocks are written at three times the price
    hasher = new_hasher(algorithm, threads if many else 1)
    size = 0
    with closing(blocks.ahead(fill) if many else blocks.in_turn(fill, expected)) as read:
        for block in read:
            hasher.update(block)
            size += len(block)
            if copy is not None:
                copy.write(block)
            if on_bytes is not None:
                on_bytes(len(block))
    return size, f"{algorithm}:{hasher.hexdigest()}"


def _mapped(
    stream: BinaryIO, expected: int, threads: int, on_bytes: Callable[[int], None] | None
) -> tuple[int, str] | None:
    """Return the same of a large file that is in the page cache, or None where it is to be read."""
    from ckptkit import mapped  # few files are so large

    try:
        descriptor = stream.fileno()
    except OSError:  # it is no file of this machine
        return None
    if not mapped.is_worth_it(descriptor, expected):
        return None
    found = mapped.digested(descriptor, threads, on_bytes)
    return None if found is None else (found[0], f"blake3:{found[1]}")


def digest_file(
    path: Path, algorithm: str = DEFAULT_ALGORITHM, *, on_bytes: Callable[[int], None] | None = None
) -> tuple[int, str]:
    """Return ``(size in bytes, algorithm:hex)`` of a regular file, read once with one buffer.

    Args:
        path: the file; a symlink is refused.
        algorithm: ``blake3`` or ``sha256``.
        on_bytes: called with the size of each block read, for progress.

    Raises:
        DamagedError: not a regular file.
        ConflictError: the file changed while it was read.
        StoreError: it cannot be read.
    """
    hasher = new_hasher(algorithm)
    try:
        descriptor = open_regular(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        before = os.fstat(descriptor)
        size = 0
        buffer = bytearray(min(_BLOCK, max(before.st_size, 1)))
        view = memoryview(buffer)
        while count := os.readv(descriptor, [buffer]):
            hasher.update(view[:count])
            size += count
            if on_bytes is not None:
                on_bytes(count)
        after = os.fstat(descriptor)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise ConflictError(f"{path}: changed while it was read", hint="try again when nothing writes to it")
    return size, f"{algorithm}:{hasher.hexdigest()}"
