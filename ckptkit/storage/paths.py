"""From a path that a person types to the store that it lies in, and to what it is there, by where it lies."""

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from ckptkit.errors import CkptkitError, StoreError, UsageError
from ckptkit.layouts import STEP_FOLDER, Listing
from ckptkit.manifest.limits import MAX_BYTES
from ckptkit.manifest.names import SIDECAR_SUFFIX, STATE_FOLDER, is_run
from ckptkit.manifest.names import STEP_FOLDER as STEP_NAME
from ckptkit.manifest.summary import summarise
from ckptkit.storage.interface import Storage
from ckptkit.storage.local import LocalStorage, files, scanning, trash
from ckptkit.storage.local.place import Place
from ckptkit.storage.urls import open_storage
from ckptkit.storage.values import Spot as Spot

_NEAR = 200  # folders
_ENOUGH = 16  # manifests that are asked which run they are of
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # a path has lost a slash of it


def spot_of(path: str, storage: Storage | None = None) -> Spot | None:
    """Return where a path lies, or None: in no store. Links are looked through, and it need not exist (any more).

    Args:
        path: absolute, or relative to the working directory; or a URL.
        storage: a store that wins if the path lies in it. Any other is found from the manifests around the path: they
            name their run, and the store is the folder above it. Where no manifest agrees with its place, the store is
            the folder of the run alone.

    Raises:
        StoreError: it is a folder that may not be read, in no store that is known.
    """
    if "://" in path:
        opened = open_storage(path)
        if not isinstance(opened, LocalStorage):
            from ckptkit.storage.url_spots import spot_of_url  # only URLs pay for it

            return spot_of_url(opened.url, storage)
        path = str(opened.root)
    # A link in a checkpoint to what lies elsewhere belongs to the checkpoint.
    try:
        looked_through = list(dict.fromkeys((Path(path).resolve(), Path(path).parent.resolve() / Path(path).name)))
    except (OSError, RuntimeError, ValueError):  # links in circles, a NUL
        return None
    if isinstance(storage, LocalStorage):
        root = storage.root.resolve()
        for real in looked_through:
            if real.is_relative_to(root):
                return _spot(root, real)
    for real in looked_through:
        found = _store_around(real) or _store_below(real)
        if found is not None and real.is_relative_to(found):
            return _spot(found, real)
    _require_readable(path)
    return None


def require_path(path: str | Path, hint: str = "write a path") -> None:
    """Raise UsageError for a URL where a path of this machine is meant: it would be a folder that is called ``s3:``."""
    if (found := _URL.match(str(path))) is not None and not os.path.isdir(f"{found[1]}:"):
        url = f"{found[1]}://{str(path)[found.end() :]}"
        raise UsageError(f"{url}: is a URL, and this has to be a path of this machine", hint=hint)


def store_near(folder: Path) -> Path | None:
    """Return the store that a folder is, holds runs of, or lies in; below it only the nearest are looked through."""
    real = folder.resolve()
    return _store_of(real) or (real if _has_runs(real) else None) or _store_around(real)


def _has_runs(folder: Path) -> bool:
    waiting, looked = deque([str(folder)]), 0
    while waiting and looked < _NEAR:
        looked += 1
        with contextlib.suppress(OSError), os.scandir(waiting.popleft()) as entries:
            inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            if any(entry.name == STATE_FOLDER for entry in inner):
                return True
            waiting += [entry.path for entry in inner if not entry.name.startswith(".")]
    return False


def _require_readable(path: str) -> None:
    """Raise StoreError where nobody can tell what a folder is, because it may not be looked into."""
    try:
        os.scandir(path).close()
    except PermissionError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror})", hint="make it readable, then ask again"
        ) from error
    except (OSError, ValueError):  # not there, or a file
        return


def _spot(root: Path, real: Path) -> Spot:
    """Walk down from the store's folder, as a scan does: the first checkpoint on the way is the one."""
    parts = real.relative_to(root).parts
    folder = root
    for depth, part in enumerate(parts):
        around = parts[:depth]
        if part == STATE_FOLDER:
            in_trash = parts[depth + 1 : depth + 2] == ("trash",) and len(parts) > depth + 2
            return _named(root, around, removed=parts[depth + 2] if in_trash else None)
        if part.endswith(SIDECAR_SUFFIX) and part != SIDECAR_SUFFIX and depth == len(parts) - 1:
            return _named(root, around, name=part.removesuffix(SIDECAR_SUFFIX))
        if _is_checkpoint(folder, part):
            return _named(root, around, name=part)
        folder = folder / part
    return _named(root, parts)


def _named(root: Path, parts: tuple[str, ...], *, name: str | None = None, removed: str | None = None) -> Spot:
    """Return the spot; of a run whose folder no run can be named after, with a store that begins further down."""
    for depth in range(len(parts)):
        run = "/".join(parts[depth:])
        if is_run(run) or (name is None and removed is None and depth == 0):
            return Spot(str(root.joinpath(*parts[:depth])), run, name, removed)
    return Spot(str(root.joinpath(*parts)), ".", name, removed)


def _is_checkpoint(folder: Path, name: str) -> bool:
    listing = Listing([name], [], lambda path: os.path.lexists(folder / path))
    return next(iter(STEP_FOLDER.find(listing)), None) is not None


def _store_around(real: Path) -> Path | None:
    """Return the store of the run that a path lies in; None where nothing above it is a run."""
    around = [real, *real.parents]
    for depth, folder in reversed(list(enumerate(around))):
        if folder.name == STATE_FOLDER or _summarised(folder / "manifest.json"):
            around = around[depth + 1 :]  # what is in a checkpoint, or was, is no run
            break
    passed = ["", *(folder.name for folder in around[:-1])]
    found = (_store_of(folder, name) for folder, name in zip(around, passed, strict=True))
    return next((root for root in found if root is not None), None)


def _store_below(real: Path) -> Path | None:
    """Return the store of the first run in a folder; or the folder itself, which may hold several stores."""
    if not real.is_dir():
        return None
    first = next(scanning.everywhere(real, skip_unreadable=True), None)
    root = None if first is None else _store_of(real / first[0])
    return real if root is not None and root.is_relative_to(real) else root


def _store_of(folder: Path, passed: str = "") -> Path | None:
    """Return the store of the run whose folder this is; None where it is no run's.

    Args:
        folder: looked at.
        passed: the name in it that was meant, or leads there. A checkpoint of another run that was copied into the
            folder makes it the store of what is in that checkpoint, and of nothing else there.
    """
    try:
        found = scanning.in_run(folder, ".")
    except StoreError:
        return None
    state = folder / STATE_FOLDER
    is_one = state.is_dir() or any(STEP_NAME.fullmatch(name) for _, name, _ in found)
    alone, beside = {name for _, name, layout in found if not layout.shared}, any(at[2].shared for at in found)
    manifests = (Place.within(folder, name, layout).manifest for _, name, layout in found)
    for run in islice(filter(None, map(_summarised, chain(manifests, _removed(state)))), _ENOUGH):
        is_one = is_one or not passed or passed in alone or beside
        parts = () if run == "." else tuple(run.split("/"))
        if folder.parts[len(folder.parts) - len(parts) :] == parts:
            return folder if not parts else folder.parents[len(parts) - 1]
    return folder if is_one else None


def _removed(state: Path) -> Iterator[Path]:
    found = (trash.content(trashed.entry, None) for trashed in trash.listing(state))
    yield from (at.manifest for at in found if at is not None)


def _summarised(manifest: Path) -> str | None:
    """Return the run that a manifest names; None where it is no manifest of ckptkit's."""
    try:
        return summarise(files.read(manifest, MAX_BYTES)).run
    except (CkptkitError, OSError):
        return None
