"""Store what did not change once: whole files, or the tensors in them, that the checkpoint before has, too.

What is shared was compared byte by byte with what is being saved, not by digests: no checkpoint is built on what may be
damaged meanwhile.
"""

import contextlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from ckptkit import durable
from ckptkit.catalog import manifests
from ckptkit.catalog.succession import Last
from ckptkit.errors import CkptkitError, UsageError
from ckptkit.formats.spans import Span, spans_of
from ckptkit.manifest.models import FileEntry
from ckptkit.sink import Sinks, read_at
from ckptkit.storage import Entry, Shared, Staging, Storage, SupportsSharing
from ckptkit.store.writing import Digested, note_before

Dedup = Literal["off", "file", "tensor"]
"""``file``: a file that is equal is stored once; ``tensor``: also what is equal in files with tensors."""

_OF_TENSORS = ".safetensors"
"""Only these may have holes while they are checked: no check reads what is in a tensor."""
_LEAST = 1 << 14  # bytes: less is not worth a piece
_BLOCK = 1 << 20
_SEGMENT = 16 << 20
_SAMPLE = 4096
_SAMPLES = 8  # of each segment


def checked(dedup: str) -> Dedup:
    """Return it; raises UsageError for a word that it is not."""
    for word in get_args(Dedup):
        if dedup == word:
            found: Dedup = word
            return found
    raise UsageError(f"dedup {dedup!r} is not known", hint=f"use {', '.join(get_args(Dedup))}")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The checkpoint to share with, as it was when the save began.

    Attributes:
        at: where it is.
        files: of its manifest, by path.
        identity: tells it from another one that is put in its place.
    """

    at: Entry
    files: Mapping[str, FileEntry]
    identity: Hashable

    @property
    def is_there(self) -> bool:
        """Whether it still is that one."""
        return self.at.identity == self.identity

    def open(self, path: str) -> BinaryIO | None:
        """Open a file of tensors for a new one to be compared with; None where there is none, or it cannot be read."""
        if path not in self.files or not path.endswith(_OF_TENSORS):
            return None
        try:
            return self.at.storage.open(self.at, path)
        except (CkptkitError, OSError):
            return None


def earlier(storage: Storage, run: str, before: Last, parent: tuple[str, int] | None) -> Earlier | None:
    """Return the checkpoint to share with: what the run saved last, else what it was resumed from."""
    for where in ((run, before.step) if before.step >= 0 else None, parent):
        for at in reversed(storage.at_step(*where)) if where is not None and storage.has_run(where[0]) else ():
            identity = at.identity  # before its manifest is read: what is read is of no other one
            manifest = None if at.layout.shared else manifests.read(at)[0]
            if manifest is not None:
                files = {file.path: file for item in manifest.items.values() for file in item.files}
                return Earlier(at, files, identity)
    return None


def require_able(storage: Storage, staged: Staging) -> None:
    """Raise UsageError where a store cannot share."""
    if not isinstance(staged, SupportsSharing):
        raise UsageError(f"{storage.url}: cannot share files between checkpoints", hint="save with dedup off")


def share(
    staged: Staging,
    before: Earlier | None,
    entries: Mapping[str, Mapping[str, Any]],
    dedup: Dedup,
    digested: Digested,
    sinks: Sinks,
) -> None:
    """Store what the earlier checkpoint has, too, only once; all files are whole, or shared, afterwards.

    Args:
        staged: the checkpoint that is being built.
        before: the earlier one, the same that files were compared with while they were written.
        entries: the manifest's ``items``.
        dedup: how far to look.
        digested: gets the files that are put in place of others; see ``writing.write``.
        sinks: know which files have holes where the earlier ones have the same.

    Raises:
        StoreError: it failed.
    """
    files = [file for item in entries.values() for file in item["files"]]
    for file in files:
        if before is None or not isinstance(staged, SupportsSharing):
            break
        with contextlib.suppress(CkptkitError, FileNotFoundError):  # it is damaged, or was removed just now
            _share_one(staged, before, file["path"], (file["size"], file["digest"]), dedup, sinks)
    for file in files:
        place = staged.folder / file["path"]
        if place.exists() and (sink := sinks.with_holes(place)) is not None:
            sink.fill(place)
    _note(staged.folder, digested)


def _share_one(staged: Any, before: Earlier, path: str, now: tuple[int, str], dedup: Dedup, sinks: Sinks) -> None:
    old = before.files.get(path)
    if old is None or not old.size or not now[0]:
        return
    place, storage, still = staged.folder / path, before.at.storage, lambda: before.is_there
    sink = sinks.with_holes(place)
    if now == (old.size, old.digest):
        if _equal(place, storage, before.at, path, sink.holes if sink else ()):
            staged.share_file(path, before.at, path, still)
    elif dedup == "tensor" and (ranges := _in_common(place, storage, before.at, path, sink.holes if sink else ())):
        read = None if sink is None else partial(sink.read_from, place)
        staged.share_parts(path, before.at, path, ranges, still, read)


def _note(folder: Path, digested: Digested) -> None:
    for path, _, names in durable.walk(folder):
        for name in names:
            file = Path(path, name)
            if file.lstat().st_ino not in digested:
                note_before(file, digested)


def _equal(new: Path, storage: Storage, earlier: Entry, path: str, but: Sequence[tuple[int, int]] = ()) -> bool:
    """Return whether two files are the same, where that is not known yet (``but``: beginnings and lengths)."""
    with _pair(new, storage, earlier, path) as pair:
        begin = 0
        for start, length in (*but, (new.stat().st_size, 0)):
            for at in range(begin, start, _BLOCK):
                if not (pair.read(at, at, min(_BLOCK, start - at)) and pair.same):
                    return False
            begin = start + length
        return True


def _in_common(
    new: Path, storage: Storage, earlier: Entry, path: str, but: Sequence[tuple[int, int]] = ()
) -> Sequence[Shared]:
    """Return the bytes that the tensors of a file have in common with those of the same names.

    ``but`` are beginnings and lengths of what is in common anyhow, at the same place; it is among them.
    """
    with _pair(new, storage, earlier, path) as pair:
        size = new.stat().st_size
        here = spans_of(pair.ours, size)
        there = spans_of(pair.theirs, storage.stat(earlier, path).size) if here else {}
        found = [Shared(start, start, length) for start, length in but]
        for name, (start, length) in here.items():
            for low, high in _gaps(start, start + length, but) if name in there else ():
                begin, count = there[name]
                inner = low - start
                found += _of_span(pair, (low, high - low), (begin + inner, max(0, count - inner)))
        found.sort(key=lambda one: one.start)
        return [one for one in _joined(iter(found)) if one.length >= _LEAST]


def _gaps(begin: int, end: int, but: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield beginnings and ends of what lies in a range, and in none of these."""
    for start, length in but:
        if begin < start < end:
            yield begin, start
        if start < end:
            begin = max(begin, start + length)
    if begin < end:
        yield begin, end


class _Pair:
    """Two files of which the same places are read, each into memory of its own that is used again and again."""

    def __init__(self, ours: BinaryIO, theirs: BinaryIO) -> None:
        self.ours, self.theirs = ours, theirs
        self._blocks = {
            _BLOCK: (bytearray(_BLOCK), bytearray(_BLOCK)),
            _SAMPLE: (bytearray(_SAMPLE), bytearray(_SAMPLE)),
        }
        self.mine = self.other = bytearray()

    def read(self, here: int, there: int, count: int) -> bool:
        """Read so many bytes from both; returns whether both have them."""
        self.mine, self.other = self._blocks.get(count) or (bytearray(count), bytearray(count))
        return read_at(self.ours, here, self.mine) and read_at(self.theirs, there, self.other)

    @property
    def same(self) -> bool:
        """Whether what was read is the same."""
        return self.mine == self.other


@contextmanager
def _pair(new: Path, storage: Storage, earlier: Entry, path: str) -> Iterator[_Pair]:
    with new.open("rb") as ours, storage.open(earlier, path) as theirs:
        yield _Pair(ours, theirs)


def _of_span(pair: _Pair, here: Span, there: Span) -> Iterator[Shared]:
    length = min(here[1], there[1])
    for at in range(0, length, _SEGMENT):
        size = min(_SEGMENT, length - at)
        if _may_share(pair, here[0] + at, there[0] + at, size):
            for inner in range(at, at + size, _BLOCK):
                yield from _of_block(pair, here[0] + inner, there[0] + inner, min(_BLOCK, at + size - inner))


def _may_share(pair: _Pair, here: int, there: int, size: int) -> bool:
    """Return whether a few samples have anything in common: of weights that are trained, none has."""
    if size <= _SAMPLE * _SAMPLES:
        return True
    places = {(size - _SAMPLE) * number // (_SAMPLES - 1) for number in range(_SAMPLES)}
    return any(pair.read(here + at, there + at, _SAMPLE) and pair.same for at in sorted(places))


def _of_block(pair: _Pair, here: int, there: int, count: int) -> Iterator[Shared]:
    if not pair.read(here, there, count):
        return
    if pair.same:
        yield Shared(here, there, count)
        return
    for at in range(0, count, _LEAST):
        if pair.mine[at : at + _LEAST] == pair.other[at : at + _LEAST]:
            yield Shared(here + at, there + at, min(_LEAST, count - at))


def _joined(found: Iterator[Shared]) -> Iterator[Shared]:
    last: Shared | None = None
    for one in found:
        if last is not None and (last.start + last.length, last.earlier + last.length) == (one.start, one.earlier):
            last = Shared(last.start, last.earlier, last.length + one.length)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last
