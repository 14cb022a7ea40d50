"""Delete by moving aside: a removed checkpoint waits in the trash for a grace time and can be taken back.

A crash in the middle leaves garbage that the next prune finishes, never a listed half-checkpoint: a folder goes and
comes back in one rename; of a sidecar checkpoint the manifest goes first and comes back last.
"""

import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.digest import algorithm_of, digest_file
from ckptkit.durable import fsync_path, make_folders, storage_errors
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, StoreError
from ckptkit.layouts import OURS, STEP_FOLDER, Listing
from ckptkit.manifest.names import is_flat, step_of_name
from ckptkit.storage.local.place import Place

if TYPE_CHECKING:
    from ckptkit.manifest.models import FileEntry

_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class Trashed:
    """One removed checkpoint: its entry in the trash, when it was removed, its step (None if nothing is left)."""

    entry: Path
    removed_at: datetime
    step: int | None


def remove(at: Place, state_folder: Path, ref: str, files: Sequence[str] = (), *, aside: Path | None = None) -> Trashed:
    """Move a checkpoint to the trash.

    Args:
        at: the checkpoint.
        state_folder: the run's ``.ckptkit``.
        ref: what it is called, for messages.
        files: where it shares its folder: which payload files go with it, relative to the folder.
        aside: where its folder lies when it is not at its place any more.
    """
    with storage_errors(f"{ref}: cannot be removed"):
        now = datetime.now(UTC)
        entry = state_folder / "trash" / f"{now.strftime(_STAMP)}-{uuid.uuid4().hex[:8]}"
        make_folders(entry)
        if at.layout.shared:
            os.rename(at.manifest, entry / at.manifest.name)
            fsync_path(entry)
            fsync_path(at.folder)
            _move(at.folder, entry, [*files, *at.notes])
            fsync_path(entry)
            fsync_path(at.folder)
        else:
            _move_folder(aside or at.folder, entry / at.folder.name)
        return Trashed(entry, now, step_of_name(at.name))


def _move_folder(folder: Path, target: Path) -> None:
    os.rename(folder, target)
    try:
        fsync_path(target.parent)
        fsync_path(folder.parent)
    except OSError:  # what was not removed for sure is still there
        os.rename(target, folder)
        raise


def _move(source: Path, destination: Path, files: Sequence[str]) -> None:
    for name in files:
        # A sidecar's files lie right beside it: a manifest that says otherwise must not move what is others'.
        if is_flat(name) and (source / name).is_file() and not (source / name).is_symlink():
            os.rename(source / name, destination / name)


def entry_named(state_folder: Path, name: str) -> Path:
    """Return the folder of an entry."""
    return state_folder / "trash" / name


def listing(state_folder: Path) -> list[Trashed]:
    """Return what is in the trash, the last removed first."""
    result = []
    trash = state_folder / "trash"
    for entry in trash.iterdir() if trash.is_dir() else ():
        try:
            removed_at = datetime.strptime(entry.name.rpartition("-")[0], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # not ours
        at = _content(entry)
        result.append(Trashed(entry, removed_at, None if at is None else step_of_name(at.name)))
    return sorted(result, key=lambda t: t.entry.name, reverse=True)


def _content(entry: Path) -> Place | None:
    there = sorted(entry.iterdir()) if entry.is_dir() else []  # it may be purged by now
    folders = [path.name for path in there if path.is_dir() and not path.is_symlink()]
    listing = Listing(folders, [p.name for p in there if p.name not in folders], lambda p: (entry / p).exists())
    whole = [Place.within(entry, name, layout) for layout in OURS for name in layout.find(listing)]
    if found := next((place for place in whole if place.manifest.exists()), None):
        return found
    # an incomplete checkpoint (without a manifest) was removed: it can be taken back as it was
    return Place.within(entry, folders[0], STEP_FOLDER) if len(folders) == 1 else None


def restore(trashed: Trashed, run_folder: Path) -> None:
    """Take a checkpoint back out of the trash.

    Raises:
        ConflictError: something is at its place already.
        DamagedError: nothing is left of it.
    """
    at = _content(trashed.entry)
    if at is None:
        raise DamagedError(f"{trashed.entry}: holds no checkpoint any more")
    with storage_errors("undelete"):
        if not at.layout.shared:
            target = run_folder / at.folder.name
            if os.path.lexists(target):
                raise ConflictError(f"{target}: exists already")
            os.rename(at.folder, target)
        else:
            # Payload that is missing in the trash was not moved there yet, or is back already: a crash cut it in half.
            names = [name for name in _payload(at) if os.path.lexists(trashed.entry / name)]
            for name in (*names, at.manifest.name):
                if os.path.lexists(run_folder / name):
                    raise ConflictError(f"{run_folder / name}: exists already")
            _move(trashed.entry, run_folder, [*names, *at.notes])
            fsync_path(run_folder)
            os.rename(at.manifest, run_folder / at.manifest.name)
        fsync_path(run_folder)
        shutil.rmtree(trashed.entry, ignore_errors=True)


def _payload(at: Place) -> "dict[str, FileEntry]":
    from ckptkit.manifest.reading import parse  # takes longer to import than a listing takes

    try:
        manifest = parse(at.manifest.read_bytes())
    except CkptkitError:
        return {}
    return {f.path: f for item in manifest.items.values() for f in item.files if is_flat(f.path)}


def finish(state_folder: Path, claimed: Collection[str] = ()) -> None:
    """Finish removals of sidecar checkpoints that a crash cut in half: bring their payload after their manifest.

    Args:
        state_folder: the run's ``.ckptkit``.
        claimed: files that checkpoints which are still there list too; they stay.
    """
    run_folder = state_folder.parent
    for trashed in listing(state_folder):
        at = _content(trashed.entry)
        if at is None or not at.layout.shared or os.path.lexists(run_folder / at.manifest.name):
            continue
        missing = {n: f for n, f in _payload(at).items() if n not in claimed and not (trashed.entry / n).exists()}
        with storage_errors("trash"):
            _move(run_folder, trashed.entry, [n for n, f in missing.items() if _is_still(run_folder / n, f)])


def _is_still(path: Path, entry: "FileEntry") -> bool:
    """Whether it is the file that was removed, not one that a trainer has written there since."""
    try:
        return digest_file(path, algorithm_of(entry.digest)) == (entry.size, entry.digest)
    except CkptkitError:
        return False


def purge(entry: Path) -> None:
    """Remove a folder of the trash or of the staging area for good; raises StoreError."""
    try:
        with storage_errors(f"{entry}: cannot be purged"):
            shutil.rmtree(entry)
    except RecursionError as error:  # a stranger's folder, nested without end
        raise StoreError(f"{entry}: cannot be purged: nested too deep") from error
