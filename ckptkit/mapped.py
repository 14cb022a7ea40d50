"""Digest a large file by mapping it, which spares the copy out of the page cache, in a process that may die of it.

A file that is cut while it is mapped kills who looks at the lost part (SIGBUS). So another process looks: its end says
nothing about the file, and the caller then reads it, and finds out. This file is what that process runs, too: it is
started without site packages, and imports hardly more than BLAKE3.
"""

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

_WINDOW = 1 << 26  # bytes mapped at a time: what is told as progress, and the most that counts as memory of the process
_LOOKS = 64  # at so many places it is looked whether a file is in the page cache


def is_worth_it(descriptor: int, size: int) -> bool:
    """Return whether a file is in the page cache: one that is on the disk is read faster than mapped."""
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return all(os.preadv(descriptor, [bytearray(1)], size * n // _LOOKS, os.RWF_NOWAIT) for n in range(_LOOKS))
    except OSError:  # it would have to wait for the disk, or the file system cannot tell
        return False


def digested(descriptor: int, threads: int, on_bytes: Callable[[int], None] | None = None) -> tuple[int, str] | None:
    """Return the size in bytes and the BLAKE3 digest, in hex, of a file; None if the process did not live to tell.

    Args:
        descriptor: of the file, whatever its position is.
        threads: how many digest.
        on_bytes: called with the size of each part that was digested.
    """
    import subprocess

    import blake3

    packages = Path(blake3.__file__).parents[1]
    command = [sys.executable, "-I", "-S", __file__, str(packages), str(threads)]
    size, lines = 0, [b""]
    try:
        child = subprocess.Popen(command, stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    with child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                lines.append(line.strip())
                if lines[-1].isdigit() and len(lines[-1]) < 20:
                    size += int(lines[-1])
                    if on_bytes is not None:
                        on_bytes(int(lines[-1]))
        except BaseException:
            child.kill()
            raise
    ended, _, found = lines[-1].partition(b" ")
    return (size, found.decode()) if child.returncode == 0 and ended == b"digest" else None


def _in_child(packages: str, threads: int) -> None:
    import resource

    sys.path.append(packages)
    import blake3

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hasher = blake3.blake3(max_threads=threads)
    size = os.fstat(0).st_size
    for start in range(0, size, _WINDOW):
        length = min(_WINDOW, size - start)
        with mmap.mmap(0, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=start) as window:
            hasher.update(window)
        print(length, flush=True)
    print("digest", hasher.hexdigest(), flush=True)


if __name__ == "__main__":
    _in_child(sys.argv[1], int(sys.argv[2]))
