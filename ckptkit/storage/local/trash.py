"""Delete by moving aside: a removed checkpoint waits in the trash for a grace time and can be taken back.

A crash in the middle leaves garbage that the next prune finishes, never a listed half-checkpoint: a folder goes and
comes back in one rename; of a sidecar checkpoint the manifest goes first and comes back last. So does that of what a
trainer wrote; its folders go and come back in one rename each, or stay, if a file that it does not list is in them.

An entry ``TIME-ID-NAME`` is the folder of a checkpoint of that name; one ``TIME-ID`` is a folder with what belongs to a
checkpoint in it. So many folders that are removed have two folders to flush, and not one each.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ckptkit.digest import algorithm_of, digest_file
from ckptkit.durable import fsync_path, make_folders, storage_errors
from ckptkit.errors import CkptkitError, ConflictError, DamagedError, RefusedError, StoreError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts import ADOPTED, OURS, SIDECAR, STEP_FOLDER, Layout, Listing
from ckptkit.layouts.adopted import main_of
from ckptkit.manifest.names import STATE_FOLDER, lies_beside, step_of_name
from ckptkit.storage.local.files import names as names_in
from ckptkit.storage.local.files import read
from ckptkit.storage.local.place import Place

if TYPE_CHECKING:
    from ckptkit.manifest.models import FileEntry

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_LONG = 200  # bytes: of a longer name and the moment before it a file system makes no name


@dataclass(frozen=True, slots=True)
class Trashed:
    """One removed checkpoint: its entry in the trash, when it was removed, its step (None if nothing is left)."""

    entry: Path
    removed_at: datetime
    step: int | None


Away = Callable[[], Path | None]
"""Asks where the files of a run's adopted checkpoints lie; None: beside their manifests."""


def remove(
    at: Place,
    state_folder: Path,
    ref: str,
    files: Sequence[str] = (),
    *,
    aside: Path | None = None,
    lasting: bool = True,
) -> Trashed:
    """Move a checkpoint to the trash.

    Args:
        at: the checkpoint.
        state_folder: the run's ``.ckptkit``.
        ref: what it is called, for messages.
        files: where it shares its folder: which payload files go with it, relative to the folder.
        aside: where its folder lies when it is not at its place any more.
        lasting: also after a power cut; else only once ``make_last`` was called. What shares its folder goes in more
            than one step, and is made to last in any case.

    Raises:
        RefusedError: a folder of its holds a file that is not among these.
        StoreError: it cannot be moved; it is where it was.
    """
    with storage_errors(f"{ref}: cannot be removed"):
        now = datetime.now(UTC)
        named = f"{now.strftime(_STAMP)}-{os.urandom(4).hex()}"
        entry = state_folder / f"trash/{named}"
        if at.layout.shared:
            _move_beside(at, entry, files, ref)
        elif len(os.fsencode(at.name)) > _LONG:
            _move_folder(aside or at.folder, entry / at.name, lasting=True)
        else:
            entry = entry.with_name(f"{named}-{at.name}")
            _move_folder(aside or at.folder, entry, lasting=lasting)
        return Trashed(entry, now, step_of_name(at.name))


def make_last(state_folder: Path) -> None:
    """Make all removals from a run, and what left its trash, outlast a power cut; raises StoreError."""
    with storage_errors("trash"):
        with contextlib.suppress(FileNotFoundError):  # nothing was ever removed: dead saves are set aside, too
            fsync_path(state_folder / "trash")
        fsync_path(state_folder.parent)


def _move_folder(folder: Path, target: Path, *, lasting: bool) -> None:
    try:
        os.rename(folder, target)
    except FileNotFoundError:  # the first one of the run, or with a folder of its own around it
        make_folders(target.parent)
        os.rename(folder, target)
    if not lasting:
        return
    try:
        fsync_path(target.parent)
        fsync_path(folder.parent)
    except OSError:  # what was not removed for sure is still there
        os.rename(target, folder)
        raise


def _move_beside(at: Place, entry: Path, files: Sequence[str], ref: str) -> None:
    """Move what shares its folder: first the manifest, then each file and folder; if one cannot go, all go back."""
    away = _away(entry, at.elsewhere)
    listed = frozenset(path for path in files if lies_beside(at.layout, path))
    tops = _tops(at.folder, at.layout, files)
    _require_listed(at.folder, tops, listed, ref)
    make_folders(away)  # of the two it is the one that may be read-only
    make_folders(entry)
    moved = [(at.manifest, entry / at.manifest.name)]
    moved += [(at.folder / name, away / name) for name in tops]
    moved += [(at.home / name, entry / name) for name in _tops(at.home, SIDECAR, at.notes)]
    done = []
    try:
        for source, target in moved:
            os.rename(source, target)
            done.append((source, target))
            if len(done) == 1:
                fsync_path(entry)
                fsync_path(at.home)
        _require_listed(away, tops, listed, ref)  # a trainer may have written there meanwhile
        for folder in {entry, away, at.home, at.folder}:
            fsync_path(folder)
    except BaseException:
        for source, target in reversed(done):
            os.rename(target, source)
        for folder in (entry, away):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _away(entry: Path, elsewhere: Path | None) -> Path:
    """Return where an entry's payload lies: with its manifest, or on the file system that it was removed from."""
    return entry if elsewhere is None else elsewhere / STATE_FOLDER / "trash" / entry.name


def _tops(folder: Path, layout: Layout, files: Iterable[str]) -> list[str]:
    """Return which files right in a folder, and folders in it, are to be moved for these files."""
    names = dict.fromkeys(path.partition("/")[0] for path in files if lies_beside(layout, path))
    return [name for name in names if _is_plain(folder / name, also_folder=layout is ADOPTED)]


def _is_plain(path: Path, *, also_folder: bool) -> bool:
    if path.is_symlink():
        return False
    return path.is_file() or (also_folder and path.is_dir())


def _require_listed(folder: Path, tops: Sequence[str], listed: Collection[str], ref: str) -> None:
    """Raise RefusedError where a folder that is to be moved holds what is not among the listed files."""
    for top in tops:
        for path in names_in(folder, top) if (folder / top).is_dir() else ():
            if path not in listed:
                raise RefusedError(
                    f"{ref}: is not removed: no manifest lists {path}", hint="adopt it again, or move that file"
                )


def entry_named(state_folder: Path, name: str) -> Path:
    """Return the folder of an entry."""
    return state_folder / "trash" / name


def listing(state_folder: Path) -> list[Trashed]:
    """Return what is in the trash, the last removed first."""
    result = []
    trash = state_folder / "trash"
    for entry in trash.iterdir() if trash.is_dir() else ():
        try:
            moment, _ = _parted(entry.name)
            removed_at = datetime.strptime(moment, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # not ours
        at = content(entry, None)
        result.append(Trashed(entry, removed_at, None if at is None else step_of_name(at.name)))
    return sorted(result, key=lambda t: t.entry.name, reverse=True)


def older(state_folder: Path, grace: float) -> list[Path]:
    """Return the entries that have been in the trash for more than ``grace`` seconds."""
    now = datetime.now(UTC)
    return [one.entry for one in listing(state_folder) if (now - one.removed_at).total_seconds() > grace]


def _parted(entry: str) -> tuple[str, str]:
    """Return the moment that the name of an entry tells, and the name of the checkpoint that it is, if it is one."""
    moment, _, rest = entry.partition("-")
    number, _, name = rest.partition("-")
    return (moment, name) if number else ("", "")


def content(entry: Path, elsewhere: Path | None) -> Place | None:
    """Return what lies in an entry; ``elsewhere`` is where its files came from, if that is not its run."""
    if not entry.is_dir():  # it may be purged by now
        return None
    if own := _parted(entry.name)[1]:
        return Place(entry, own, STEP_FOLDER)
    there = sorted(entry.iterdir())
    folders = [path.name for path in there if path.is_dir() and not path.is_symlink()]
    # A crash may have left the manifest alone: what it stands for need not be here.
    listing = Listing(folders, [p.name for p in there if p.name not in folders], lambda path: True)
    for layout in OURS:
        away = _away(entry, elsewhere) if layout is ADOPTED and elsewhere is not None else None
        whole = (Place.within(entry, name, layout, away) for name in layout.find(listing))
        if found := next((place for place in whole if place.manifest.exists()), None):
            return found
    # an incomplete checkpoint (without a manifest) was removed: it can be taken back as it was
    return Place.within(entry, folders[0], STEP_FOLDER) if len(folders) == 1 else None


def restore(trashed: Trashed, run_folder: Path, away: Away = lambda: None) -> None:
    """Take a checkpoint back out of the trash.

    Args:
        trashed: the checkpoint.
        run_folder: where it came from.
        away: asked where its files came from, if it was adopted.

    Raises:
        ConflictError: something is at its place already.
        DamagedError: nothing is left of it, or its manifest cannot be read: nothing was moved.
    """
    at = content(trashed.entry, None)
    if at is not None and at.layout is ADOPTED:
        at = content(trashed.entry, away())
    if at is None:
        raise DamagedError(f"{trashed.entry}: holds no checkpoint any more")
    with storage_errors("undelete"):
        if not at.layout.shared:
            target = run_folder / at.name
            if os.path.lexists(target):
                raise ConflictError(f"{target}: exists already")
            os.rename(at.folder, target)
        else:
            # Payload that is missing in the trash was not moved there yet, or is back already: a crash cut it in half.
            back = run_folder if at.elsewhere is None else at.elsewhere.parents[2]
            moves = [(at.folder / name, back / name) for name in _tops(at.folder, at.layout, _to_restore(at, back))]
            for target in (*(target for _, target in moves), run_folder / at.manifest.name):
                if os.path.lexists(target):
                    raise ConflictError(f"{target}: exists already")
            moves += [(at.home / name, run_folder / name) for name in _tops(at.home, SIDECAR, at.notes)]
            for source, target in moves:
                os.rename(source, target)
            fsync_path(back)
            os.rename(at.manifest, run_folder / at.manifest.name)
        fsync_path(run_folder)
        for entry in {trashed.entry, at.folder} if at.layout.shared else {trashed.entry}:
            with contextlib.suppress(OSError):  # whatever is still in it stays for the grace time
                entry.rmdir()


def _to_restore(at: Place, back: Path) -> "Collection[str]":
    """Return the payload that is to come back; raises DamagedError where the entry does not tell, or it is gone."""
    main = main_of(at.name) if at.layout is ADOPTED else None
    if main is not None and not os.path.lexists(at.folder / main) and not os.path.lexists(back / main):
        raise DamagedError(f"{at.home}: {main} is neither there nor in {back}: only its manifest is left of it")
    try:
        return _listed(at)
    except CkptkitError as error:
        own = {at.manifest.name, *at.notes}
        left = sorted(path.name for path in at.folder.iterdir() if path.name not in own) if at.folder.is_dir() else []
        if not left:
            return ()  # it went to the trash without its files
        raise DamagedError(
            f"{at.manifest}: {error.message}; nothing was moved: {_few(left)} "
            f"{'is' if len(left) == 1 else 'are'} still in {at.folder}",
            hint=f"move {'it' if len(left) == 1 else 'them'} back to {back} by hand, without the manifest; "
            "prune purges the entry after the grace time",
        ) from error


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(escaped, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _payload(at: Place) -> "dict[str, FileEntry]":
    """Return the files that a manifest lists; none where it cannot be read."""
    try:
        return _listed(at)
    except CkptkitError:
        return {}


def _listed(at: Place) -> "dict[str, FileEntry]":
    from ckptkit.manifest.limits import MAX_BYTES
    from ckptkit.manifest.reading import parse  # takes longer to import than a listing takes

    manifest = parse(read(at.manifest, MAX_BYTES))
    files = (file for item in manifest.items.values() for file in item.files)
    return {file.path: file for file in files if lies_beside(at.layout, file.path)}


def finish(state_folder: Path, claimed: Collection[str] = (), away: Away = lambda: None) -> None:
    """Finish removals of sidecar checkpoints that a crash cut in half: bring their payload after their manifest.

    Args:
        state_folder: the run's ``.ckptkit``.
        claimed: files that checkpoints which are still there list too; they stay, as does the folder of one.
        away: asked where the files of adopted checkpoints came from.
    """
    run_folder = state_folder.parent
    for trashed in listing(state_folder):
        at = content(trashed.entry, None)
        if at is None or not at.layout.shared or os.path.lexists(run_folder / at.manifest.name):
            continue
        source = run_folder
        if at.layout is ADOPTED and (elsewhere := away()) is not None:
            at, source = Place.within(at.home, at.name, at.layout, _away(trashed.entry, elsewhere)), elsewhere
        with storage_errors("trash"):
            _finish(at, source, claimed)


def _finish(at: Place, source: Path, claimed: Collection[str]) -> None:
    payload = _payload(at)
    kept = {path.partition("/")[0] for path in claimed}
    for top in _tops(source, at.layout, payload):
        inside = {top} if (source / top).is_file() else {*names_in(source, top)}
        same = inside <= payload.keys() and all(_is_still(source / path, payload[path]) for path in inside)
        if same and top not in kept and not os.path.lexists(at.folder / top):
            os.rename(source / top, at.folder / top)


def _is_still(path: Path, entry: "FileEntry") -> bool:
    """Whether it is the file that was removed, not one that a trainer has written there since."""
    try:
        return digest_file(path, algorithm_of(entry.digest)) == (entry.size, entry.digest)
    except CkptkitError:
        return False


def set_aside(entry: Path, place: Path) -> None:
    """Take an entry out of the trash, to be purged; one that lies there already stays. Raises StoreError."""
    with storage_errors(f"{entry}: cannot be purged"):
        place.parent.mkdir(exist_ok=True)
        os.rename(entry, place)


def purge(entry: Path, on_bytes: Callable[[int], None] | None = None) -> None:
    """Remove a folder of the trash or of the staging area for good, and tell its size; raises StoreError."""
    try:
        with storage_errors(f"{entry}: cannot be purged"):
            size = 0 if on_bytes is None else sum(os.lstat(entry / path).st_size for path in names_in(entry))
            shutil.rmtree(entry)
    except RecursionError as error:  # a stranger's folder, nested without end
        raise StoreError(f"{entry}: cannot be purged: nested too deep") from error
    if on_bytes is not None:
        on_bytes(size)
