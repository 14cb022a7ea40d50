"""What lies in the folders of runs, is named as trainers name their checkpoints, and has no manifest.

Only names are looked at here, by the layouts of trainers. What something is, its content tells.
"""

import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from ckptkit.durable import storage_errors
from ckptkit.layouts import FOREIGN, STEP_FOLDER, Found, Listing, claimed
from ckptkit.layouts.adopted import main_of
from ckptkit.layouts.numbered import stem_of
from ckptkit.manifest.names import MAX_RUN_PARTS, SIDECAR_SUFFIX, check_run, is_run


def unlisted(root: Path, run: str | None = None) -> Iterator[tuple[str, Path, Found]]:
    """Yield what has a number in its name, as checkpoints do, and no manifest in it or beside it.

    Args:
        root: of the store.
        run: only this one; of the whole store, the folders in folders that are no checkpoints are looked into as well.

    Yields:
        Run, path of the folder or main file, and what its name tells.
    """
    folder = root if run is None or check_run(run) == "." else root / run
    if folder.is_dir():
        with storage_errors(str(folder)):
            yield from _in(folder, run or ".", 0 if run is None else MAX_RUN_PARTS)


def _in(folder: Path, run: str, depth: int) -> Iterator[tuple[str, Path, Found]]:
    listing, listed = _listing(folder)
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
            yield from _in(folder / name, inner, depth + 1)


def _listing(folder: Path) -> tuple[Listing, set[str]]:
    """Return what may be a trainer's, and what manifests beside it stand for."""
    folders: list[str] = []
    files: list[str] = []
    listed: set[str] = set()
    inside = cache(partial(_names, folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.endswith(SIDECAR_SUFFIX):
                stem = name.removesuffix(SIDECAR_SUFFIX)
                listed.add(main_of(stem) or stem)
            elif name.startswith(".") or entry.is_symlink():
                continue
            elif not entry.is_dir():
                files.append(name)
            else:
                folders.append(name)

    def has(path: str) -> bool:
        around, _, name = path.rpartition("/")
        return name in inside(around)

    ours = set(STEP_FOLDER.find(Listing(folders, files, has)))
    return Listing([name for name in folders if name not in ours], files, has), listed


def _names(folder: Path, inner: str) -> frozenset[str]:
    """Return what lies in a folder; read once, as every layout asks for names of its own."""
    try:
        return frozenset(os.listdir(f"{folder}/{inner}"))
    except OSError:
        return frozenset()
