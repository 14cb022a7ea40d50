"""Files in parts as if they were whole: opened, examined, listed, and written out."""

import io
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from ckptkit.digest import open_regular
from ckptkit.errors import DamagedError, StoreError
from ckptkit.storage.interface import FileStat
from ckptkit.storage.local import recipe, stamps
from ckptkit.storage.local.recipe import FOLDER, Parted, Piece

_BUFFER = 1 << 16
_MASK = (1 << 62) - 1


def parted(folder: Path, path: str) -> Parted:
    """Return how a file is stored that does not lie at its path; raises FileNotFoundError where it is nowhere."""
    found = recipe.of(folder).get(path)
    if found is None:
        raise FileNotFoundError(path)
    return found


def opened(folder: Path, path: str) -> BinaryIO:
    """Open it for reading; raises as ``Storage.open``."""
    return io.BufferedReader(_Assembled(folder, parted(folder, path).pieces, path), _BUFFER)


def examined(folder: Path, path: str) -> FileStat:
    """Return what is known of it; its size is that of what is there, its stamp changes when any of its blobs may have.

    Raises:
        FileNotFoundError: it is nowhere, or a blob is not.
    """
    one = parted(folder, path)
    blobs = {blob: os.lstat(folder / FOLDER / blob) for blob, _, _ in one.pieces}
    there = sum(max(0, min(length, blobs[blob].st_size - start)) for blob, start, length in one.pieces)
    own = [stamps.stamp_of(found) for found in blobs.values()]
    mixed = hash(tuple(own)) & _MASK
    written, changed = (max((one[place] for one in own), default=0) for place in (1, 2))
    regular = all(stat.S_ISREG(found.st_mode) for found in blobs.values())
    return FileStat(path, there, regular, (one.size, written, changed, mixed))


def listed(folder: Path, names: Iterator[str]) -> Iterator[str]:
    """Return the names of the files in a checkpoint, with those in parts in place of their blobs."""
    blobs = set()
    for name in names:
        if name.startswith(f"{FOLDER}/"):
            blobs.add(name)
        else:
            yield name
    if not blobs:
        return
    try:
        found = recipe.of(folder)
    except DamagedError:
        yield from sorted(blobs)
        return
    yield from found
    used = {f"{FOLDER}/{blob}" for one in found.values() for blob, _, _ in one.pieces}
    yield from sorted(blobs - used - ({recipe.NAME} if found else set()))


def write(folder: Path, path: str, target: Path) -> None:
    """Write it out whole; raises StoreError."""
    with opened(folder, path) as stream, target.open("xb") as copy:
        while block := stream.read(1 << 20):
            copy.write(block)


class _Assembled(io.RawIOBase):
    """The pieces of a file, one after the other."""

    def __init__(self, folder: Path, pieces: Sequence[Piece], path: str) -> None:
        self._folder, self._pieces = folder / FOLDER, pieces
        self._ends = list(accumulate(length for _, _, length in pieces))
        self._blobs: dict[str, int] = {}
        self._at = 0
        self.name = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self._ends, self._at)
        if number == len(self._pieces):
            return 0
        blob, start, length = self._pieces[number]
        inner = self._at - (self._ends[number] - length)
        view = memoryview(buffer).cast("B")[: length - inner]
        count = os.preadv(self._descriptor(blob), [view], start + inner)
        self._at += count
        return count

    def _descriptor(self, blob: str) -> int:
        if blob not in self._blobs:
            try:
                self._blobs[blob] = open_regular(self._folder / blob)
            except OSError as error:
                raise StoreError(f"{self._folder / blob}: cannot be read ({error.strerror})") from error
        return self._blobs[blob]

    def close(self) -> None:
        for descriptor in self._blobs.values():
            os.close(descriptor)
        self._blobs.clear()
        super().close()
