"""Find the checkpoints below a folder. Symbolic links are never followed, and nothing is read."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

from ckptkit import layouts
from ckptkit.durable import require_descriptors, storage_errors
from ckptkit.errors import RefusedError, StoreError
from ckptkit.layouts import STEP_FOLDER, Layout, Listing, adopted
from ckptkit.layouts.own_names import STEP_FOLDER as OWN_NAME
from ckptkit.layouts.own_names import step_folder
from ckptkit.manifest.names import MANIFEST_NAME, MAX_RUN_PARTS, SIDECAR_SUFFIX, STATE_FOLDER, check_run, step_of_name
from ckptkit.storage.local import elsewhere
from ckptkit.storage.remembering import FolderNames

_HINT = "choose another run name; nothing was changed"

Found = tuple[str, str, Layout]
"""Run, name of the checkpoint, layout."""
Names = Callable[[Path, str], FolderNames]
"""Returns the names in the folder of a run, which need not be read if they are known."""


def require(root: Path) -> None:
    """Raise StoreError unless the folder exists and can be read."""
    require_descriptors()
    try:
        os.scandir(root).close()
    except NotADirectoryError as error:
        raise StoreError(f"store {root}: is a file, not a folder") from error
    except FileNotFoundError as error:
        raise StoreError(
            f"store {root}: does not exist",
            hint="name it with --store FOLDER or CKPTKIT_STORE; `ckptkit save` creates it, "
            "`ckptkit adopt FOLDER` makes one of a folder",
        ) from error
    except OSError as error:
        raise StoreError(f"store {root}: cannot be read ({error.strerror})") from error


def require_reachable(root: Path, run: str) -> None:
    """Raise RefusedError if what is saved in the run would never be listed: behind a link, or in a checkpoint."""
    require_descriptors()
    path = root
    with storage_errors(str(root)):
        for part in () if check_run(run) == "." else run.split("/"):
            path = path / part
            if path.is_symlink():
                raise RefusedError(f"{path}: is a symbolic link, which is never followed", hint=_HINT)
            if os.path.lexists(path / MANIFEST_NAME):
                raise RefusedError(f"{path}: is a checkpoint, no run can be inside it", hint=_HINT)


def in_run(root: Path, run: str) -> list[Found]:
    """Return the checkpoints of one run, by step."""
    folder = _folder(root, run)
    return [] if folder is None else [(run, *one) for one in _here(root, folder, run)[0]]


def at_step(root: Path, run: str, step: int) -> list[Found]:
    """Return the checkpoints of a run whose names end in a step; the others are not looked at."""
    folder, end = _folder(root, run), str(step)
    wanted: Callable[[str], bool] = lambda name: name.endswith(end) and step_of_name(name) == step  # noqa: E731
    return [] if folder is None else [(run, *one) for one in _here(root, folder, run, wanted)[0]]


def everywhere(root: Path, below: str = ".", *, skip_unreadable: bool) -> Iterator[Found]:
    """Yield the checkpoints of all runs, by run and step; see ``Storage.scan``."""
    folders: Iterator[tuple[str, Sequence[layouts.Checkpoint]]] = iter(())
    if below == ".":
        folders = _walk(root, root, ".", 0, skip_unreadable)
    elif (root / check_run(below)).is_dir() and not _crosses_link(root, below):
        folders = _walk(root, root / below, below, len(below.split("/")), skip_unreadable)
    for run, found in folders:
        for name, layout in found:
            yield run, name, layout


def newest_first(root: Path, run: str | None) -> Iterator[tuple[str, Iterator[layouts.Checkpoint]]]:
    """Yield each folder that is no checkpoint, or one run, with its checkpoints; see ``SupportsNewestFirst``."""
    if run is not None:
        if (folder := _folder(root, check_run(run))) is not None:
            yield run, _newest_first(_listing(root, folder, None))[0]
        return
    waiting = [(".", root, 0)]
    for of, folder, depth in waiting:
        try:
            found, deeper = _newest_first(_listing(root, folder, None))
        except StoreError:
            continue
        yield of, found
        if depth < MAX_RUN_PARTS:
            waiting += [(name if of == "." else f"{of}/{name}", folder / name, depth + 1) for name in deeper]


def _newest_first(listing: Listing) -> tuple[Iterator[layouts.Checkpoint], list[str]]:
    """Return the checkpoints right in a folder, the last first, and the names of folders that may be runs.

    Whether a folder that is named as ``save`` names it is a checkpoint is asked when it is its turn.
    """
    claims = set(filter(OWN_NAME.fullmatch, listing.folders))
    rest = Listing([name for name in listing.folders if name not in claims], listing.files, listing.has)
    sure = layouts.checkpoints(rest)

    def found() -> Iterator[layouts.Checkpoint]:
        ordered: Sequence[layouts.Checkpoint]
        if not sure and set(map(len, claims)) == {len(step_folder(0))}:  # as texts and as numbers in the same order
            ordered = _Plain(sorted(claims))
        else:
            ordered = layouts.in_order([*sure, *((name, STEP_FOLDER) for name in claims)])
        for name, layout in reversed(ordered):
            if layout is not STEP_FOLDER or name not in claims or any(STEP_FOLDER.find(_alone(name, listing))):
                yield name, layout

    return found(), layouts.other_folders(rest, sure)


def _alone(name: str, listing: Listing) -> Listing:
    return Listing([name], (), listing.has)


def by_run(root: Path, run: str | None, names: Names) -> Iterator[tuple[str, Sequence[layouts.Checkpoint]]]:
    """Yield each folder that is no checkpoint, as a run and its checkpoints: of the whole store, or of one run.

    Args:
        root: of the store.
        run: only this one.
        names: tells what lies in a folder.
    """
    if run is None:
        yield from _walk(root, root, ".", 0, False, names)
    elif (folder := _folder(root, check_run(run))) is not None:
        yield run, _here(root, folder, run, names=names)[0]


def _folder(root: Path, run: str) -> Path | None:
    """Return the folder of a run; None where there is none, or where it lies behind a link."""
    folder = root if run == "." else root / run
    with storage_errors(str(folder)):
        return folder if folder.is_dir() and not _crosses_link(root, run) else None


def folders_of_runs(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every folder of a store that is no checkpoint, as a run and its folder; what cannot be read is left out."""
    waiting = [(".", root, 0)]
    for run, folder, depth in waiting:
        yield run, folder
        with contextlib.suppress(StoreError):
            for name in _here(root, folder, run)[1] if depth < MAX_RUN_PARTS else ():
                waiting.append((name if run == "." else f"{run}/{name}", folder / name, depth + 1))


def _crosses_link(root: Path, run: str) -> bool:
    path = root
    for part in () if run == "." else run.split("/"):
        path = path / part
        if path.is_symlink():
            return True
    return False


def _walk(
    root: Path, folder: Path, run: str, depth: int, skip_unreadable: bool, names: Names | None = None
) -> Iterator[tuple[str, Sequence[layouts.Checkpoint]]]:
    try:
        found, deeper = _here(root, folder, run, names=names)
    except StoreError:
        if skip_unreadable:
            return
        raise
    yield run, found
    if depth < MAX_RUN_PARTS:
        for name in deeper:
            inner = name if run == "." else f"{run}/{name}"
            yield from _walk(root, folder / name, inner, depth + 1, skip_unreadable, names)


def orphans(root: Path, run: str) -> list[str]:
    """Return the names of the run's adopted checkpoints that their trainer has removed."""
    folder = root if run == "." else root / run
    if not folder.is_dir() or _crosses_link(root, run):
        return []
    return sorted(adopted.orphans(_listing(root, folder, None)))


def _here(
    root: Path,
    folder: Path,
    run: str,
    wanted: Callable[[str], bool] | None = None,
    names: Names | None = None,
) -> tuple[Sequence[layouts.Checkpoint], list[str]]:
    """Return the checkpoints right in a folder, and the names of its folders that are none."""
    plain: Sequence[str] = ()
    if names is None:
        listing = _listing(root, folder, wanted)
    else:
        listing, plain = _told(root, folder, names(folder, run))
    found = layouts.checkpoints(listing)
    others = layouts.other_folders(listing, found)
    if plain:
        return layouts.in_order([*_Plain(plain), *found]) if found else _Plain(plain), others
    return found, others


class _Plain(Sequence[layouts.Checkpoint]):
    """Checkpoints as ``save`` makes them, each told when it is asked for: of thousands, somebody may want the last."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    @overload
    def __getitem__(self, at: int) -> layouts.Checkpoint: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[layouts.Checkpoint]: ...

    def __getitem__(self, at: int | slice) -> layouts.Checkpoint | Sequence[layouts.Checkpoint]:
        return _Plain(self._names[at]) if isinstance(at, slice) else (self._names[at], STEP_FOLDER)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[layouts.Checkpoint]:
        return ((name, STEP_FOLDER) for name in self._names)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _told(root: Path, folder: Path, names: FolderNames) -> tuple[Listing, Sequence[str]]:
    """Return what must be looked at, and the names of what is sure to be a checkpoint."""
    around = str(folder)
    links = [name for name in names.links if not os.path.isdir(f"{around}/{name}")]
    return Listing(names.folders, [*names.files, *links], _asking(root, around)), names.plain


def _listing(root: Path, folder: Path, wanted: Callable[[str], bool] | None) -> Listing:
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if wanted is not None and not wanted(name.removesuffix(SIDECAR_SUFFIX)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if name != STATE_FOLDER:
                        folders.append(name)
                elif not _leads_to_folder(entry):  # a link to a folder is neither
                    files.append(name)
    except OSError as error:
        if folder == root or not isinstance(error, FileNotFoundError):  # else it was removed since it was named
            raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error
    return Listing(folders, files, _asking(root, str(folder)))


def _asking(root: Path, around: str) -> Callable[[str], bool]:
    """Return what asks whether there is something at a path relative to a folder."""

    def has(path: str) -> bool:
        # Only what stands before the "@" is asked for by its name alone: it may lie where the run was adopted from.
        return os.path.lexists(f"{around}/{path}") or ("/" not in path and elsewhere.has(root, around, path))

    return has
