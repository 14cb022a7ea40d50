"""Find the checkpoints below a folder. Symbolic links are never followed, and nothing is read."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ckptkit import layouts
from ckptkit.durable import require_descriptors, storage_errors
from ckptkit.errors import RefusedError, StoreError
from ckptkit.layouts import Layout, Listing, adopted
from ckptkit.manifest.names import MANIFEST_NAME, MAX_RUN_PARTS, SIDECAR_SUFFIX, STATE_FOLDER, check_run, step_of_name
from ckptkit.storage.local import elsewhere

_HINT = "choose another run name; nothing was changed"

Found = tuple[str, str, Layout]
"""Run, name of the checkpoint, layout."""


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
    folder = root if run == "." else root / run
    with storage_errors(str(folder)):
        if not folder.is_dir() or _crosses_link(root, run):
            return []
    return _here(root, folder, run)[0]


def at_step(root: Path, run: str, step: int) -> list[Found]:
    """Return the checkpoints of a run whose names end in a step; the others are not looked at."""
    folder = root if run == "." else root / run
    with storage_errors(str(folder)):
        if not folder.is_dir() or _crosses_link(root, run):
            return []
    end = str(step)
    return _here(root, folder, run, lambda name: name.endswith(end) and step_of_name(name) == step)[0]


def everywhere(root: Path, below: str = ".", *, skip_unreadable: bool) -> Iterator[Found]:
    """Yield the checkpoints of all runs, by run and step; see ``Storage.scan``."""
    if below == ".":
        yield from _walk(root, root, ".", 0, skip_unreadable)
    elif (root / check_run(below)).is_dir() and not _crosses_link(root, below):
        yield from _walk(root, root / below, below, len(below.split("/")), skip_unreadable)


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


def _walk(root: Path, folder: Path, run: str, depth: int, skip_unreadable: bool) -> Iterator[Found]:
    try:
        found, deeper = _here(root, folder, run)
    except StoreError:
        if skip_unreadable:
            return
        raise
    yield from found
    if depth < MAX_RUN_PARTS:
        for name in deeper:
            inner = name if run == "." else f"{run}/{name}"
            yield from _walk(root, folder / name, inner, depth + 1, skip_unreadable)


def orphans(root: Path, run: str) -> list[str]:
    """Return the names of the run's adopted checkpoints that their trainer has removed."""
    folder = root if run == "." else root / run
    if not folder.is_dir() or _crosses_link(root, run):
        return []
    return sorted(adopted.orphans(_listing(root, folder, None)))


def _here(
    root: Path, folder: Path, run: str, wanted: Callable[[str], bool] | None = None
) -> tuple[list[Found], list[str]]:
    """Return the checkpoints right in a folder, and the names of its folders that are none."""
    listing = _listing(root, folder, wanted)
    found = layouts.checkpoints(listing)
    return [(run, name, layout) for name, layout in found], layouts.other_folders(listing, found)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


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
        raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error
    around = str(folder)

    def has(path: str) -> bool:
        # Only what stands before the "@" is asked for by its name alone: it may lie where the run was adopted from.
        return os.path.lexists(f"{around}/{path}") or ("/" not in path and elsewhere.has(root, around, path))

    return Listing(folders, files, has)
