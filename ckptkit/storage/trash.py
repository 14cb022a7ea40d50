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

from ckptkit.digest import algorithm_of, digest_file
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, StoreError
from ckptkit.manifest.models import FileEntry
from ckptkit.manifest.names import MANIFEST_NAME, SIDECAR_SUFFIX, is_flat, step_of_name
from ckptkit.manifest.reading import parse
from ckptkit.storage.durable import fsync_path, make_folders, storage_errors
from ckptkit.storage.location import Location

_STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, slots=True)
class Trashed:
    """One removed checkpoint: its entry in the trash, when it was removed, its step (None if nothing is left)."""

    entry: Path
    removed_at: datetime
    step: int | None


def remove(at: Location, state_folder: Path, files: Sequence[str] = (), *, aside: Path | None = None) -> Path:
    """Move a checkpoint to the trash and return its entry.

    Args:
        at: the checkpoint.
        state_folder: the run's ``.ckptkit``.
        files: payload files of a sidecar checkpoint, relative to its folder.
        aside: where its folder is if it is no longer in its place.
    """
    with storage_errors(f"{at.ref}: cannot be removed"):
        stamp = datetime.now(UTC).strftime(_STAMP)
        entry = state_folder / "trash" / f"{stamp}-{uuid.uuid4().hex[:8]}"
        make_folders(entry)
        if at.sidecar:
            os.rename(at.manifest, entry / at.manifest.name)
            fsync_path(entry)
            fsync_path(at.folder)
            _move(at.folder, entry, [*files, at.observed.name, at.shown.name])
            fsync_path(entry)
            fsync_path(at.folder)
        else:
            _move_folder(aside or at.folder, entry / at.folder.name)
        return entry


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


def _content(entry: Path) -> Location | None:
    for path in sorted(entry.iterdir()):
        if path.is_dir() and not path.is_symlink() and (path / MANIFEST_NAME).exists():
            return Location("", path, path / MANIFEST_NAME)
        if path.name.endswith(SIDECAR_SUFFIX):
            return Location("", entry, path)
    # an incomplete checkpoint (without a manifest) was removed: it can be taken back as it was
    folders = [p for p in entry.iterdir() if p.is_dir() and not p.is_symlink()]
    return Location("", folders[0], folders[0] / MANIFEST_NAME) if len(folders) == 1 else None


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
        if not at.sidecar:
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
            _move(trashed.entry, run_folder, [*names, at.observed.name, at.shown.name])
            fsync_path(run_folder)
            os.rename(at.manifest, run_folder / at.manifest.name)
        fsync_path(run_folder)
        shutil.rmtree(trashed.entry, ignore_errors=True)


def put_back(entry: Path, run_folder: Path) -> None:
    """Take back what was just moved to the trash, since nothing took its place; raises as ``restore`` does."""
    for trashed in listing(entry.parent.parent):
        if trashed.entry == entry:
            restore(trashed, run_folder)


def _payload(at: Location) -> dict[str, FileEntry]:
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
        if at is None or not at.sidecar or os.path.lexists(run_folder / at.manifest.name):
            continue
        missing = {n: f for n, f in _payload(at).items() if n not in claimed and not (trashed.entry / n).exists()}
        with storage_errors("trash"):
            _move(run_folder, trashed.entry, [n for n, f in missing.items() if _is_still(run_folder / n, f)])


def _is_still(path: Path, entry: FileEntry) -> bool:
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
