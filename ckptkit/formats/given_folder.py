"""What is in a folder that the user wants to keep: every file, hidden ones and those in subfolders too.

A link counts as the file that it leads to, where that lies in the folder itself or in the cache of the Hugging Face hub
that the folder is a snapshot of (all of a snapshot is links into the cache's ``blobs``). A link that leads elsewhere is
refused: otherwise whoever wrote the folder could choose which file of this machine is copied.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ckptkit.errors import DamagedError, UnsafeContentError
from ckptkit.formats.escaped import escaped

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_FEW = 3


@dataclass(frozen=True, slots=True)
class GivenFolder:
    """What was found.

    Attributes:
        files: name relative to the folder -> the file itself, never a link; sorted by name.
        odd: name -> why it is not a file that can be kept.
    """

    files: Mapping[str, Path]
    odd: Mapping[str, str]

    def left_out(self, taken: Iterable[str]) -> list[str]:
        """Return one line for each part of the folder that is not among the names taken."""
        names = set(taken)
        folders: dict[str, list[str]] = {}
        for name in self.files:
            if name not in names:
                top, _, below = name.partition("/")
                folders.setdefault(f"{top}/" if below else top, []).append(name)
        partly = {name.partition("/")[0] for name in names if "/" in name}
        lines = [line for top, parts in folders.items() for line in _lines(top, parts, top.rstrip("/") in partly)]
        return [*lines, *(f"{escaped(name)} ({why})" for name, why in self.odd.items())]


def look(folder: Path) -> GivenFolder:
    """Return every file below a folder.

    Raises:
        UnsafeContentError: a link leads out of it.
        DamagedError: a link leads nowhere.
        OSError: it cannot be read.
    """
    root = folder.resolve()
    homes = [root, *_blobs(root)]
    files: dict[str, Path] = {}
    odd: dict[str, str] = {}
    for entry in _entries(root):
        name = Path(entry.path).relative_to(root).as_posix()
        if entry.is_symlink():
            target = _target(folder, name, Path(entry.path), homes)
            mode = target.stat().st_mode
        else:
            target = Path(entry.path)
            mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            files[name] = target
        else:
            odd[name] = _why_odd(entry, mode)
    return GivenFolder(dict(sorted(files.items())), odd)


def require_inside(name: str, path: Path, folder: Path) -> None:
    """Raise UnsafeContentError or DamagedError if a link in a folder leads out of it, or nowhere."""
    root = folder.resolve()
    if path.is_symlink():
        _target(folder, name, path, [root, *_blobs(root)])


def _entries(root: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder except non-empty folders; without recursion, since there may be many."""
    waiting: list[os.DirEntry[str] | Path] = [root]
    while waiting:
        folder = waiting.pop()
        empty = True
        with os.scandir(folder) as entries:
            for entry in entries:
                empty = False
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry)
                else:
                    yield entry
        if empty and isinstance(folder, os.DirEntry):
            yield folder


def _why_odd(entry: os.DirEntry[str], mode: int) -> str:
    if not stat.S_ISDIR(mode):
        return "not a regular file"
    return "a link to a folder" if entry.is_symlink() else "an empty folder"


def _blobs(root: Path) -> list[Path]:
    """Return where the files of a Hugging Face snapshot are: for ``models--x/snapshots/REV`` in ``models--x/blobs``."""
    return [
        part.parent / _BLOBS for part in root.parents if part.name == _SNAPSHOTS and (part.parent / _BLOBS).is_dir()
    ]


def _target(folder: Path, name: str, link: Path, homes: list[Path]) -> Path:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        raise DamagedError(
            f"{folder / name}: is a link to {escaped(str(link.readlink()))}, which does not exist",
            hint="put the file itself there, or remove the link",
        ) from error
    if not any(target.is_relative_to(home) for home in homes):
        raise UnsafeContentError(
            f"{folder / name}: is a link that leaves the folder, to {escaped(str(target))}",
            hint="put the file itself there, or remove the link",
        )
    return target


def _lines(top: str, parts: list[str], partly: bool) -> list[str]:
    if not top.endswith("/"):
        return [escaped(top)]
    if not partly:
        return [f"{escaped(top)} ({len(parts)} file{'s' if len(parts) > 1 else ''})"]
    more = [f"and {len(parts) - _FEW} more in {escaped(top)}"] if len(parts) > _FEW else []
    return [*map(escaped, parts[:_FEW]), *more]
