"""Level ``presence``: the manifest is whole and valid, its files and no others are there, the set is consistent."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ckptkit.errors import CkptkitError, NewerFormatError, RefusedError
from ckptkit.manifest.models import FileEntry, ItemEntry, Manifest
from ckptkit.manifest.names import UNLISTED, is_flat
from ckptkit.manifest.reading import holds_secrets, parse
from ckptkit.problem import Problem
from ckptkit.storage import LocalStorage, Location


def read_manifest(at: Location) -> tuple[Manifest | None, Problem | None]:
    """Return the manifest of a checkpoint, or the problem that keeps it from being read."""
    file = at.manifest.name
    try:
        manifest = parse(LocalStorage.read_manifest(at))
    except RefusedError as error:
        return None, Problem("path-unsafe", error.message, file, severity="unsafe")
    except NewerFormatError as error:
        return None, Problem("manifest-newer", error.message, file)
    except CkptkitError as error:
        code = "manifest-unreadable" if os.path.lexists(at.manifest) else "manifest-missing"
        return None, Problem(code, error.message, file)
    if at.step != manifest.step:
        message = f"says step {manifest.step}, but its name {at.name!r} says {at.step}"
        return manifest, Problem("manifest-step-mismatch", message, file)
    return manifest, None


def secret_problems(at: Location) -> Iterator[Problem]:
    """Yield a warning for a manifest that holds what looks like a secret, which current writers do not let in."""
    try:
        found = holds_secrets(LocalStorage.read_manifest(at))
    except CkptkitError:  # gone, or changed, since it was read
        return
    if found:
        message = "holds what looks like a secret, masked where it is shown: save again, and remove this one"
        yield Problem("manifest-secret", message, at.manifest.name, severity="warning")


def set_problems(manifest: Manifest) -> Iterator[Problem]:
    """Yield a problem where items disagree with the checkpoint, or with each other, on the step or a counter."""
    told: dict[str, tuple[str, int]] = {name: ("the checkpoint", value) for name, value in manifest.counters.items()}
    for name, item in manifest.items.items():
        if item.step is not None and item.step != manifest.step:
            message = f"item {name!r} is at step {item.step}, the checkpoint at step {manifest.step}"
            yield Problem("set-inconsistent", message, item=name)
        for counter, value in item.counters.items():
            who, other = told.setdefault(counter, (f"item {name!r}", value))
            if value != other:
                message = f"item {name!r} is at {counter} {value}, {who} at {other}"
                yield Problem("set-inconsistent", message, item=name)


def file_problems(at: Location, manifest: Manifest) -> Iterator[Problem]:
    """Yield missing, extra, wrong-size and irregular files."""
    listed: set[str] = set()
    for name, item in manifest.items.items():
        flat = lies_flat(item)
        for entry in item.files:
            listed.add(entry.path)
            if not at.sidecar and not entry.path.startswith(f"{name}/") and not flat:
                message = f"lies outside the folder of its item {name!r}"
                yield Problem("path-unsafe", message, entry.path, name, "unsafe")
            elif at.sidecar and not is_flat(entry.path):
                yield Problem("path-unsafe", "does not lie beside its manifest", entry.path, name, "unsafe")
            elif problem := _file_problem(at.folder, entry, name):
                yield problem
    if not at.sidecar:
        for path in _walk(at.folder):
            if path not in listed and path not in UNLISTED:
                yield Problem("file-extra", "is not in the manifest", path)


def lies_flat(item: ItemEntry) -> bool:
    """Return whether all files of an item lie right beside the manifest, as some trainers lay them out."""
    return all(is_flat(entry.path) and entry.path not in UNLISTED for entry in item.files)


def _file_problem(folder: Path, entry: FileEntry, item: str) -> Problem | None:
    parts = entry.path.split("/")
    try:
        for depth in range(1, len(parts)):
            if not stat.S_ISDIR(os.lstat(folder.joinpath(*parts[:depth])).st_mode):
                return Problem("file-irregular", "lies behind a link or a file, not in a folder", entry.path, item)
        found = os.lstat(folder / entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return Problem("file-missing", "is missing", entry.path, item)
    except OSError as error:
        return Problem("file-unreadable", f"cannot be examined ({error.strerror})", entry.path, item)
    if not stat.S_ISREG(found.st_mode):
        return Problem("file-irregular", "is not a regular file", entry.path, item)
    if found.st_size != entry.size:
        return Problem("file-size", f"is {found.st_size} bytes long, the manifest says {entry.size}", entry.path, item)
    return None


def _walk(folder: Path) -> Iterator[str]:
    """Yield all files below a folder; without recursion, since a stranger's folder may be nested without end."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name
