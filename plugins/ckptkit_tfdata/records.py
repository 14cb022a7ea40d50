"""Record files: a digest of each that is cheap for huge files, and how two lists of them differ.

Up to 1 MiB a file is digested whole; a larger one by its size and 16 blocks of 64 KiB spread evenly from its first byte
to its last. That finds files that were rewritten, truncated, exchanged or extended, for at most 1 MiB of reading per
file; a single byte changed in place in between it does not (TFRecord readers find that by their own CRC).
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckptkit.errors import BackendError

_WHOLE = 1 << 20
_BLOCK = 1 << 16
_BLOCKS = _WHOLE // _BLOCK
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class Record:
    """A record file: path as the dataset names it, size in bytes, digest (``sha256:hex`` or ``sha256-blocks:hex``)."""

    path: str
    size: int
    digest: str


class RecordFiles:
    """Digests of a list of files; each is read again only when its size or modification time changed.

    Args:
        paths: local files, in the order of the dataset.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        self.paths = [os.fspath(path) for path in paths]
        self._known: dict[str, tuple[tuple[int, int, int], Record]] = {}

    def records(self) -> list[Record]:
        """Return the records as the files are now. Raises BackendError for a file that cannot be read."""
        return [self._record(path) for path in self.paths]

    def _record(self, path: str) -> Record:
        try:
            status = os.stat(path)
            mark = (status.st_size, status.st_mtime_ns, status.st_ino)
            known = self._known.get(path)
            if known is None or known[0] != mark:
                self._known[path] = known = (mark, Record(path, status.st_size, _digest(Path(path), status.st_size)))
        except OSError as error:
            raise BackendError(
                f"record file {path}: cannot be read ({error.strerror})",
                hint="record_files must name local files; put the file back, or pass the paths that the dataset reads",
            ) from error
        return known[1]


def files_named_by(texts: Iterable[str]) -> list[str]:
    """Return those of the texts that look like paths and are existing files."""
    return [t for t in texts if (os.sep in t or os.path.splitext(t)[1]) and os.path.isfile(t)]


def changes(saved: Sequence[Record], now: Sequence[Record]) -> list[str]:
    """Return one phrase for each difference between two lists of record files."""
    before, after = [r.path for r in saved], [r.path for r in now]
    found = [f"{path} is missing" for path in before if path not in set(after)]
    found += [f"{path} is new" for path in after if path not in set(before)]
    if not found and before != after:
        found.append("the files are in another order")
    known = {r.path: r for r in now}
    for record in saved:
        other = known.get(record.path, record)
        if other.size != record.size:
            found.append(f"{record.path} has {other.size} bytes instead of {record.size}")
        elif other.digest != record.digest:
            found.append(f"{record.path} has other contents")
    if len(found) > _MAX_NAMED:
        found[_MAX_NAMED:] = [f"and {len(found) - _MAX_NAMED} more"]
    return found


def _digest(path: Path, size: int) -> str:
    hasher = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        if size <= _WHOLE:
            hasher.update(stream.read())
            return f"sha256:{hasher.hexdigest()}"
        for number in range(_BLOCKS):
            stream.seek((size - _BLOCK) * number // (_BLOCKS - 1))
            hasher.update(stream.read(_BLOCK))
    return f"sha256-blocks:{hasher.hexdigest()}"
