"""Build the items of one checkpoint in its staging folder: live objects through their backends, files by copying."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit.backend import (
    GRADES,
    Captured,
    CheckContext,
    SaveContext,
    SavedItem,
)
from ckptkit.durable import storage_errors
from ckptkit.errors import (
    BackendError,
    ConflictError,
    UnsafeContentError,
)
from ckptkit.manifest.names import check_paths
from ckptkit.progress import Meter
from ckptkit.sink import Sinks
from ckptkit.store import wrote
from ckptkit.store.guests import guest
from ckptkit.store.item_entries import FileFields, describe, entry
from ckptkit.store.sources import Source
from ckptkit.store.trust import Trust

_BLOCK = 1 << 20  # bytes
Digested = dict[int, tuple[int, int]]
"""By inode, size and mtime_ns of a file before it was digested: whether it was changed afterwards is told by these."""


def note_before(file: Path, digested: Digested) -> None:
    """Note what a file is like before it is digested."""
    found = file.lstat()
    digested[found.st_ino] = found.st_size, found.st_mtime_ns


def write(
    sources: Sequence[Source],
    folder: Path,
    step: int,
    *,
    probe: bool,
    algorithm: str,
    trust: Trust,
    meter: Meter | None = None,
    digested: Digested | None = None,
) -> dict[str, dict[str, Any]]:
    """Write all items below the staging folder and return the ``items`` field of the manifest.

    What the files were like before they were digested is added to ``digested``.

    Items that are state of the whole process are written first and last: if the two differ, saving the others has
    changed the run.

    Raises:
        BackendError: a backend failed, wrote nothing, or drew random numbers while saving.
        UnsafeContentError: a backend wrote outside its folder, or wrote content that would run code.
        DamagedError: files do not have the structure that they should.
        DiskFullError: no room was left.
    """
    ordered = sorted(sources, key=lambda source: not source.ambient)
    entries: dict[str, dict[str, Any]] = {}
    ambient = False
    sinks = Sinks(algorithm, on_bytes=meter)
    for source in ordered:
        item_folder = folder / source.name
        saved = _write_one(source, item_folder, step, probe, sinks)
        ambient = ambient or saved.ambient
        saved = saved if ambient or not saved.draws else _without_generators(saved)
        prefix = f"{source.name}/"
        files = _files(item_folder, prefix, sinks, digested)
        trust.mark(files)
        written = sinks.written(item_folder) if source.files is None else ()  # of what was copied, nobody knows
        fields = entry(source.name, source.backend, item_folder, saved, files, step, prefix, written)
        if source.files is not None:
            fields["path"] = wrote.place(source.name, source.item.path, source.files)
        entries[source.name] = fields
    for source in (s for s in ordered if s.files is None and entries[s.name]["ambient"]):
        again, unkept = folder.parent / f"again-{source.name}", Sinks(algorithm, keep=False)
        _write_one(source, again, step, probe, unkept)
        if _files(again, f"{source.name}/", unkept) != entries[source.name]["files"]:
            raise BackendError(
                "saving the other items changed the random generators of the process",
                hint="one of the backends draws random numbers while it saves; save without it to find which",
                item=source.name,
            )
        shutil.rmtree(again)
    _nothing_else(folder, entries)
    trust.require_used()
    return {source.name: entries[source.name] for source in sources}


def _write_one(source: Source, folder: Path, step: int, probe: bool, sinks: Sinks) -> SavedItem:
    with storage_errors(f"item {source.name!r}"):
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise _outside(f"{source.name}") from error
    with guest(source.name, source.backend, folder):
        if source.files is None:
            context = SaveContext(
                step=step, item=source.name, probe=probe, factories=source.factories, create=sinks.create
            )
            saved = source.backend.save(source.item, folder, context=context)
        else:
            _copy(source.files, folder, sinks)
            context_of_files = CheckContext(sorted(source.files), step=step, source=source.item.path)
            saved = describe(source.name, source.backend, folder, context_of_files)
            lost = [f"not saved: {line}" for line in source.left]
            saved = replace(saved, hazards=[*saved.hazards, *lost]) if lost else saved
        if not isinstance(saved, SavedItem):
            raise TypeError(f"it returned a {type(saved).__name__}, not a SavedItem")
        return saved


def _without_generators(saved: SavedItem) -> SavedItem:
    """Return the item as graded in a set without the generators that it draws from: a known piece is missing."""
    reason = f"{saved.draws}, and the random generators of the process are not in the checkpoint: save a GlobalRng too"
    grade = max("partial", saved.captured.grade, key=GRADES.index)
    return replace(saved, captured=Captured(grade, [*saved.captured.reasons, reason]))


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


def _files(folder: Path, prefix: str, sinks: Sinks, digested: Digested | None = None) -> list[FileFields]:
    paths = sinks.unkept()
    for path, folders, names in os.walk(folder):
        for name in folders:
            if Path(path, name).is_symlink():
                raise UnsafeContentError(f"{Path(path, name)}: a backend must not write links")
        paths += [Path(path, name) for name in names]
    entries: list[FileFields] = []
    for file in paths:
        if digested is not None:
            note_before(file, digested)
        size, digest = sinks.digest(file)
        entries.append({"path": prefix + file.relative_to(folder).as_posix(), "size": size, "digest": digest})
    check_paths(entry["path"] for entry in entries)
    return sorted(entries, key=lambda entry: entry["path"])


def _nothing_else(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UnsafeContentError if there is anything besides what each backend left in its item's folder."""
    listed = {file["path"]: file["size"] for item in entries.values() for file in item["files"]}
    for path, folders, names in os.walk(folder):
        for name in [*names, *(f for f in folders if Path(path) == folder and f not in entries)]:
            file = Path(path, name)
            relative = file.relative_to(folder).as_posix()
            if listed.get(relative) != file.lstat().st_size:
                raise _outside(relative)


def _outside(path: str) -> UnsafeContentError:
    return UnsafeContentError(f"{path!r}: a backend wrote outside the folder of its item; nothing was committed")
