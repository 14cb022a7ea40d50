"""What lies in the folders of runs, is named as trainers name their checkpoints, and has no manifest.

Only names are looked at here, by the layouts of trainers. What something is, its content tells.
"""

import os
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from ckptkit.durable import storage_errors
from ckptkit.layouts import FOREIGN, STEP_FOLDER, Found, Listing, claimed
from ckptkit.layouts.adopted import main_of
from ckptkit.layouts.numbered import stem_of
from ckptkit.manifest.names import MAX_RUN_PARTS, SIDECAR_SUFFIX, check_run, is_run
from ckptkit.storage.local.scanning import Names
from ckptkit.storage.remembering import FolderNames

Inside = Callable[[Path, str], Collection[str]]
"""Returns the names in a folder that may be a run, and would have this name; raises OSError."""


def unlisted(
    root: Path, run: str | None = None, names: Names | None = None, inside: Inside | None = None
) -> Iterator[tuple[str, Path, Found]]:
    """Yield what has a number in its name, as checkpoints do, and no manifest in it or beside it.

    Args:
        root: of the store.
        run: only this one; of the whole store, the folders in folders that are no checkpoints are looked into as well.
        names: tells what lies in a folder, where that need not be read.
        inside: the same, for the signs of trainers in a folder that may be a run.

    Yields:
        Run, path of the folder or main file, and what its name tells.
    """
    folder = root if run is None or check_run(run) == "." else root / run
    if folder.is_dir():
        with storage_errors(str(folder)):
            depth = 0 if run is None else MAX_RUN_PARTS
            yield from _in(folder, run or ".", depth, names or _read, inside or _listed)


def _in(folder: Path, run: str, depth: int, names: Names, inside: Inside) -> Iterator[tuple[str, Path, Found]]:
    listing, listed = _listing(folder, run, names(folder, run), inside)
    taken: set[str] = set()
    for _, found in claimed(FOREIGN, listing):
        if found.name in listed:
            taken.update(found.files)
        elif found.number is not None and stem_of(found.name) not in listed:
            taken.update(found.files)
            yield run, folder / found.name, found
    for name in sorted(listing.folders) if depth < MAX_RUN_PARTS else ():
        inner = name if run == "." else f"{run}/{name}"
        if name not in taken and is_run(inner):
            yield from _in(folder / name, inner, depth + 1, names, inside)


def _read(folder: Path, run: str) -> FolderNames:
    folders: list[str] = []
    files: list[str] = []
    links: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            (links if entry.is_symlink() else folders if entry.is_dir() else files).append(entry.name)
    return FolderNames((), folders, files, links)


def _listing(folder: Path, run: str, names: FolderNames, inside: Inside) -> tuple[Listing, set[str]]:
    """Return what may be a trainer's, and what manifests beside it stand for."""
    there = [name for name in (*names.folders, *names.files, *names.links) if name.endswith(SIDECAR_SUFFIX)]
    stems = [name.removesuffix(SIDECAR_SUFFIX) for name in there]
    listed = {main_of(stem) or stem for stem in stems}
    folders, files = ([name for name in of if _may_be(name)] for of in (names.folders, names.files))

    @cache
    def names_in(inner: str) -> Collection[str]:  # read once, as every layout asks for names of its own
        try:
            return inside(folder / inner, inner if run == "." else f"{run}/{inner}") if inner else os.listdir(folder)
        except OSError:
            return ()

    def has(path: str) -> bool:
        around, _, name = path.rpartition("/")
        return name in names_in(around)

    ours = set(STEP_FOLDER.find(Listing(folders, files, has)))
    return Listing([name for name in folders if name not in ours], files, has), listed


def _may_be(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(SIDECAR_SUFFIX)


def _listed(folder: Path, run: str) -> Collection[str]:
    return frozenset(os.listdir(folder))
