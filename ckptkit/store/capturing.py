"""Take the items of a save as they are at one moment: to be written right away, or copied out of a run that goes on."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ckptkit.backend import CheckContext, SaveContext, SavedItem, SnapshotContext, SupportsSnapshot
from ckptkit.durable import storage_errors
from ckptkit.errors import ConflictError, UnsafeContentError
from ckptkit.sink import Sinks
from ckptkit.store.copying import Memory
from ckptkit.store.guests import guest
from ckptkit.store.item_entries import describe
from ckptkit.store.sources import Source

_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """One item.

    Attributes:
        source: what it is.
        folder: where its files are, or will be.
        sinks: know the digests of what is written.
        write: writes what is not written yet, and returns what the backend says; called once.
    """

    source: Source
    folder: Path
    sinks: Sinks
    write: Callable[[], SavedItem]


@dataclass(frozen=True, slots=True)
class Capture:
    """All items of a save, taken as they were at one moment.

    Attributes:
        folder: the staging folder.
        order: names of the items, as the caller gave them.
        items: state of the whole process first.
        again: what may be state of the whole process, taken once more after all others; only its digests are wanted.
    """

    folder: Path
    order: Sequence[str]
    items: Sequence[Taken]
    again: Sequence[Taken]


def capture(
    sources: Sequence[Source], folder: Path, step: int, *, probe: bool, sinks: Sinks, memory: Memory | None = None
) -> Capture:
    """Take all items.

    Args:
        sources: the items.
        folder: the staging folder.
        step: step of the checkpoint.
        probe: whether to record proofs of resume.
        sinks: for the files.
        memory: for copies, when the run is to go on before anything is written. What cannot be copied, because its
            backend does not know how, is written at once, and so are files: their trainer may write over them. Without
            memory nothing is taken yet: the state stays in the live objects until it is written.

    Raises:
        CkptkitError: as of ``writing.write``.
    """
    unkept = Sinks(sinks.algorithm, keep=False)
    ordered = sorted(sources, key=lambda source: not source.ambient)

    def take(source: Source, where: Path, into: Sinks) -> Taken:
        context = SaveContext(step=step, item=source.name, probe=probe, factories=source.factories, create=into.create)
        if memory is None:
            return Taken(source, where, into, lambda: _write(source, where, context, into))
        if source.files is None and isinstance(source.backend, SupportsSnapshot):
            return Taken(source, where, into, _copied_out(source, where, context, memory))
        saved = _write(source, where, context, into)
        return Taken(source, where, into, lambda: saved)

    items = [take(source, folder / source.name, sinks) for source in ordered]
    # Unless its live object says so, what is ambient is only known once it is written: then a copy is too late.
    last = [source for source in ordered if source.files is None and (source.ambient or memory is None)]
    again = [take(source, folder.parent / f"again-{source.name}", unkept) for source in last]
    return Capture(folder, [source.name for source in sources], items, again)


def _copied_out(source: Source, folder: Path, context: SaveContext, memory: Memory) -> Callable[[], SavedItem]:
    backend = source.backend
    assert isinstance(backend, SupportsSnapshot)
    with guest(source.name, backend):
        pending = backend.snapshot(
            source.item,
            context=SnapshotContext(
                step=context.step,
                item=context.item,
                probe=context.probe,
                factories=context.factories,
                memory=memory.take,
                together=memory.together,
            ),
        )

    def write() -> SavedItem:
        _make(source, folder)
        with guest(source.name, backend, folder):
            return _said(pending.write(folder, context=context))

    return write


def _write(source: Source, folder: Path, context: SaveContext, sinks: Sinks) -> SavedItem:
    _make(source, folder)
    with guest(source.name, source.backend, folder):
        if source.files is None:
            return _said(source.backend.save(source.item, folder, context=context))
        _copy(source.files, folder, sinks)
        context_of_files = CheckContext(sorted(source.files), step=context.step, source=source.item.path)
        saved = _said(describe(source.name, source.backend, folder, context_of_files))
        lost = [f"not saved: {line}" for line in source.left]
        return replace(saved, hazards=[*saved.hazards, *lost]) if lost else saved


def _said(saved: object) -> SavedItem:
    if not isinstance(saved, SavedItem):
        raise TypeError(f"it returned a {type(saved).__name__}, not a SavedItem")
    return saved


def _make(source: Source, folder: Path) -> None:
    with storage_errors(f"item {source.name!r}"):
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise outside(source.name) from error


def outside(path: str) -> UnsafeContentError:
    """Return the error for what lies where no backend may write."""
    return UnsafeContentError(f"{path!r}: a backend wrote outside the folder of its item; nothing was committed")


def _copy(files: Mapping[str, Path], folder: Path, sinks: Sinks) -> None:
    buffer = memoryview(bytearray(_BLOCK))
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb", buffering=0) as original, sinks.create(target) as copy:
            before = os.fstat(original.fileno())
            while count := original.readinto(buffer):
                copy.write(buffer[:count])
            after = os.fstat(original.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ConflictError(f"{source}: changed while it was copied", hint="save when the trainer has closed it")
