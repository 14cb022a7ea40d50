"""Let a checkpoint that is being built share what an earlier one has: by names for the same bytes, never by copying."""

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ckptkit.digest import new_hasher
from ckptkit.durable import write_file
from ckptkit.manifest.names import UNLISTED
from ckptkit.storage.local import extents, recipe
from ckptkit.storage.local.recipe import FOLDER, Parted, Piece
from ckptkit.storage.shared import ReadAt, Shared

_FICLONE = 0x40049409
"""Source: ioctl_ficlone(2). The constant is not in Python's `fcntl`."""
_CANNOT = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOENT, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EACCES)
_MOST_BLOBS = 16
_LEAST_USED = 0.5  # of a blob: what is left of the rest would stay as long as this part
_BLOCK = 1 << 20
_NEW = ""  # stands for the blob that is not written yet


def link(source: Path, target: Path, still: Callable[[], bool] = lambda: True) -> bool:
    """Put a second name for a file in place of another one; returns whether it could be done.

    Where the file system can clone, it is a file of its own that shares the blocks; else a hard link. ``still`` is
    asked when there is a second name: whether the file is the one that is meant.
    """
    aside = target.with_name(f".{uuid.uuid4().hex}")
    try:
        if not _cloned(source, aside):
            os.link(source, aside, follow_symlinks=False)
        if not still():
            aside.unlink()
            return False
        os.replace(aside, target)
    except OSError as error:
        aside.unlink(missing_ok=True)
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _cloned(source: Path, target: Path) -> bool:
    import fcntl

    with source.open("rb") as original, target.open("xb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def frees(folders: Iterable[Path]) -> int:
    """Return how many bytes are free once these folders are gone, at least.

    It is the payload that has no name elsewhere, but for blocks that other files share with it: whether those are in
    these folders, too, no file system tells.
    """
    found: dict[tuple[int, int], list[tuple[str, os.stat_result]]] = {}
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                if name not in UNLISTED:
                    place = f"{path}/{name}"
                    status = os.lstat(place)
                    found.setdefault((status.st_dev, status.st_ino), []).append((place, status))
    alone = (same[0] for same in found.values() if len(same) >= same[0][1].st_nlink)
    return sum(status.st_size - extents.shared_bytes(Path(place)) for place, status in alone)


def part(
    folder: Path,
    path: str,
    earlier: Path,
    earlier_path: str,
    shared: Sequence[Shared],
    still: Callable[[], bool],
    read: ReadAt | None = None,
) -> bool:
    """Store a file of a checkpoint in parts: what it shares is linked, the rest is one new blob.

    Args:
        folder: the checkpoint that is being built; the file lies in it.
        path: of the file.
        earlier: the folder of the earlier checkpoint.
        earlier_path: of the file there, whole or in parts itself.
        shared: in order, which bytes of the file are the same there.
        still: asked when all is linked: whether the earlier checkpoint still is that one.
        read: returns bytes of the file, where it does not have those in common.

    Returns:
        Whether it was done; where it was not worth it, or not possible, the file stays as it is.
    """
    whole = folder / path
    size = whole.stat().st_size
    names = _Names(folder, earlier, earlier_path)
    pieces = _bounded(list(_pieces(names.there, shared, size)), names)
    taken = {blob for blob, _, _ in pieces if blob != _NEW}
    if not taken:
        return False
    (folder / FOLDER).mkdir(exist_ok=True)
    try:
        if not (all(names.link(blob) for blob in taken) and still()):
            return False
        fresh = _write_new(whole, pieces, folder / FOLDER, read)
        named = [(fresh if blob == _NEW else blob, start, length) for blob, start, length in pieces]
        found = {**recipe.of(folder), path: Parted(size, named)}
        (folder / recipe.NAME).unlink(missing_ok=True)
        write_file(folder / recipe.NAME, recipe.encoded(found))
        whole.unlink()
    finally:
        _tidy(folder)
    return True


def _tidy(folder: Path) -> None:
    """Remove what no file is made of."""
    found = recipe.of(folder)
    used = {blob for one in found.values() for blob, _, _ in one.pieces} | (
        {Path(recipe.NAME).name} if found else set()
    )
    for name in os.listdir(folder / FOLDER):
        if name not in used:
            (folder / FOLDER / name).unlink()
    if not found:
        (folder / FOLDER).rmdir()


class _Names:
    """The blobs that an earlier checkpoint has of a file, and where each lies.

    Attributes:
        there: of which pieces the file is made there.
    """

    def __init__(self, folder: Path, earlier: Path, path: str) -> None:
        self._folder = folder / FOLDER
        found = recipe.of(earlier).get(path)
        if found is not None:
            self.there = found.pieces
            self._sources = {blob: earlier / FOLDER / blob for blob, _, _ in found.pieces}
        else:
            status = (earlier / path).lstat()
            # Unique in any folder that it is linked into: the inode lives as long as any of its names.
            name = f"{status.st_ino:x}-{status.st_mtime_ns:x}"
            self.there = [(name, 0, status.st_size)]
            self._sources = {name: earlier / path}

    def size(self, blob: str) -> int:
        """Return the bytes of a blob; raises OSError."""
        return self._sources[blob].lstat().st_size

    def link(self, blob: str) -> bool:
        """Give it a name in the new checkpoint; returns whether that could be done."""
        try:
            os.link(self._sources[blob], self._folder / blob, follow_symlinks=False)
        except FileExistsError:  # another file of this checkpoint has it already
            return os.path.samestat(self._sources[blob].lstat(), (self._folder / blob).lstat())
        except OSError as error:
            if error.errno in _CANNOT:
                return False
            raise
        return True


def _pieces(there: Sequence[Piece], shared: Sequence[Shared], size: int) -> Iterator[Piece]:
    """Yield the pieces of the file; those of the new blob count from the beginning of the file, for now."""
    done = 0
    for one in shared:
        if one.start > done:
            yield _NEW, done, one.start - done
        yield from _within(there, one.earlier, one.length)
        done = one.start + one.length
    if done < size:
        yield _NEW, done, size - done


def _within(there: Sequence[Piece], start: int, length: int) -> Iterator[Piece]:
    """Yield the pieces that a range of the earlier file is made of."""
    begins = 0
    for blob, offset, count in there:
        low, high = max(start, begins), min(start + length, begins + count)
        if low < high:
            yield blob, offset + low - begins, high - low
        begins += count


def _bounded(pieces: list[Piece], names: _Names) -> list[Piece]:
    """Return the pieces with those of few-used and of too many blobs as new ones, and neighbours as one."""
    used: dict[str, int] = {}
    for blob, _, length in pieces:
        if blob != _NEW:
            used[blob] = used.get(blob, 0) + length
    kept = [blob for blob in used if used[blob] >= _LEAST_USED * names.size(blob)]
    kept = sorted(kept, key=lambda blob: used[blob], reverse=True)[: _MOST_BLOBS - 1]
    result: list[Piece] = []
    done = 0
    for blob, start, length in pieces:
        one = (blob, start, length) if blob in kept else (_NEW, done, length)
        done += length
        if result and result[-1][0] == one[0] and result[-1][1] + result[-1][2] == one[1]:
            one = (one[0], result[-1][1], result.pop()[2] + one[2])
        result.append(one)
    return result


def _write_new(whole: Path, pieces: list[Piece], parts: Path, read: ReadAt | None) -> str:
    """Write the blob of what is new, count its pieces from its own beginning, and return its name."""
    hasher, aside, done = new_hasher("blake3"), parts / f"new-{uuid.uuid4().hex}", 0
    if not any(blob == _NEW for blob, _, _ in pieces):
        return _NEW
    with whole.open("rb", buffering=0) as stream, aside.open("xb") as copy:
        for number, (blob, start, length) in enumerate(pieces):
            if blob != _NEW:
                continue
            pieces[number] = (_NEW, done, length)
            done += length
            stream.seek(start)
            for at in range(start, start + length, _BLOCK):
                count = min(_BLOCK, start + length - at)
                block = stream.read(count) if read is None else read(at, count)
                hasher.update(block)
                copy.write(block)
    name: str = hasher.hexdigest()[:32]
    os.replace(aside, parts / name)
    return name
