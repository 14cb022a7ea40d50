"""Write what was captured of the items into the staging folder, and say of each what the manifest needs."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ckptkit import durable
from ckptkit.backend import GRADES, Captured, SavedItem
from ckptkit.errors import BackendError, UnsafeContentError
from ckptkit.manifest.names import check_paths
from ckptkit.sink import Sinks
from ckptkit.store.capturing import Capture, outside
from ckptkit.store.item_entries import FileFields, entry
from ckptkit.store.trust import Trust

Digested = dict[int, tuple[int, int]]
"""By inode, size and mtime_ns of a file before it was digested: whether it was changed afterwards is told by these."""


def note_before(file: Path, digested: Digested) -> None:
    """Note what a file is like before it is digested."""
    found = file.lstat()
    digested[found.st_ino] = found.st_size, found.st_mtime_ns


def write(
    captured: Capture,
    step: int,
    *,
    trust: Trust,
    digested: Digested | None = None,
) -> dict[str, dict[str, Any]]:
    """Write all items that are not written yet, and return the ``items`` field of the manifest.

    What the files were like before they were digested is added to ``digested``.

    Items that are state of the whole process were captured first and last: if the two differ, capturing the others has
    changed the run.

    Raises:
        BackendError: a backend failed, wrote nothing, or drew random numbers while saving.
        UnsafeContentError: a backend wrote outside its folder, or wrote content that would run code.
        DamagedError: files do not have the structure that they should.
        DiskFullError: no room was left.
    """
    entries: dict[str, dict[str, Any]] = {}
    ambient = False
    for taken in captured.items:
        source, saved = taken.source, taken.write()
        ambient = ambient or saved.ambient
        saved = saved if ambient or not saved.draws else _without_generators(saved)
        prefix = f"{source.name}/"
        files = _files(taken.folder, prefix, taken.sinks, digested)
        trust.mark(files)
        written = taken.sinks.written(taken.folder) if source.files is None else ()  # of what was copied, nobody knows
        fields = entry(source.name, source.backend, taken.folder, saved, files, step, prefix, written)
        if source.files is not None:
            fields["path"] = source.place
        entries[source.name] = fields
    for taken in (t for t in captured.again if entries[t.source.name]["ambient"]):
        taken.write()
        if _files(taken.folder, f"{taken.source.name}/", taken.sinks) != entries[taken.source.name]["files"]:
            raise BackendError(
                "saving the other items changed the random generators of the process",
                hint="one of the backends draws random numbers while it saves; save without it to find which",
                item=taken.source.name,
            )
        shutil.rmtree(taken.folder)
    _nothing_else(captured.folder, entries)
    trust.require_used()
    return {name: entries[name] for name in captured.order}


def _without_generators(saved: SavedItem) -> SavedItem:
    """Return the item as graded in a set without the generators that it draws from: a known piece is missing."""
    reason = f"{saved.draws}, and the random generators of the process are not in the checkpoint: save a GlobalRng too"
    grade = max("partial", saved.captured.grade, key=GRADES.index)
    return replace(saved, captured=Captured(grade, [*saved.captured.reasons, reason]))


def _files(folder: Path, prefix: str, sinks: Sinks, digested: Digested | None = None) -> list[FileFields]:
    sinks.require_left_alone(folder)
    paths = sinks.unkept()
    for path, folders, names in durable.walk(folder):
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
    for path, folders, names in durable.walk(folder):
        for name in [*names, *(f for f in folders if Path(path) == folder and f not in entries)]:
            file = Path(path, name)
            relative = file.relative_to(folder).as_posix()
            if listed.get(relative) != file.lstat().st_size:
                raise outside(relative)
