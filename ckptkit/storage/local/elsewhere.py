"""Where the files of adopted checkpoints lie when their manifests are in a store of their own.

The note holds an absolute path, so it is sealed with the store that it was written for: in a copy of the store, or one
that somebody sends, it leads nowhere. Otherwise whoever wrote it could choose what is read and moved on this machine.
"""

import os
from functools import lru_cache
from pathlib import Path

from ckptkit.digest import DEFAULT_ALGORITHM, digest_bytes
from ckptkit.durable import make_folders, replace_file, storage_errors
from ckptkit.errors import CkptkitError, RefusedError
from ckptkit.formats import strict_json
from ckptkit.manifest.names import STATE_FOLDER
from ckptkit.storage.local import files, stamps

NAME = "adopted-from.json"
_VERSION = "1.0"
_LIMIT = 1 << 16


def note(root: Path, run_folder: Path, folder: Path) -> None:
    """Note that the files of a run's adopted checkpoints lie in a folder; raises StoreError."""
    with storage_errors(str(run_folder)):
        make_folders(run_folder / STATE_FOLDER)
        fields = {"schema_version": _VERSION, "folder": str(folder.resolve()), "store": stamps.identity(root)}
        sealed = {**fields, "digest": digest_bytes(strict_json.dumps(fields), DEFAULT_ALGORITHM)}
        replace_file(run_folder / STATE_FOLDER / NAME, strict_json.dumps(sealed, indent=1) + b"\n")


def folder_of(root: Path, run_folder: str) -> Path | None:
    """Return the folder that a run was adopted from; None where its files lie beside their manifests.

    Raises:
        RefusedError: it was adopted in another store, or the note is damaged.
    """
    path = f"{run_folder}/{STATE_FOLDER}/{NAME}"
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _read(root, path, (found.st_ino, found.st_mtime_ns, found.st_size))


def has(root: Path, run_folder: str, main: str) -> bool:
    """Return whether a main file or folder is there, or may be: a disk that is not mounted has removed nothing."""
    try:
        folder = folder_of(root, run_folder)
    except CkptkitError:
        return True
    return folder is not None and (os.path.lexists(folder / main) or _is_away(folder))


def require_there(folder: Path) -> None:
    """Raise RefusedError where the disk with the files of adopted checkpoints is not mounted: they are not missing."""
    if _is_away(folder):
        raise RefusedError(
            f"its files lie in {folder}, which is empty or not there", hint="mount its disk, or put the folder back"
        )


def _is_away(folder: Path) -> bool:
    """Return whether a folder is not there, or is empty, as is that of a disk that is not mounted."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


@lru_cache(maxsize=256)
def _read(root: Path, path: str, changed: object) -> Path:
    try:
        value = strict_json.loads(files.read(Path(path), _LIMIT), max_bytes=_LIMIT)
        fields = {name: value[name] for name in ("schema_version", "folder", "store")}
        if digest_bytes(strict_json.dumps(fields), DEFAULT_ALGORITHM) != value["digest"]:
            raise ValueError
        folder = Path(fields["folder"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise RefusedError(f"{path}: was changed or damaged after it was written", hint="adopt it again") from error
    if fields["store"] != stamps.identity(root):
        raise RefusedError(
            f"{path}: was adopted in another store, or the store has moved",
            hint="adopt it again with `ckptkit adopt PATH`; no file of another store is read or moved",
        )
    return folder
