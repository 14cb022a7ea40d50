"""Looks at folders on disk: which files are there, what they hold, and what changed between two looks."""

import stat
from pathlib import Path

from ckptkit.digest import digest_file


def files_in(directory: Path) -> tuple[str, ...]:
    """Return the regular files below a folder, relative to it, with "/" between parts, sorted."""
    return tuple(sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if is_regular(p)))


def is_regular(path: Path) -> bool:
    """Return whether the path itself (not what it links to) is a regular file."""
    return stat.S_ISREG(path.lstat().st_mode)


def irregular_in(directory: Path) -> list[str]:
    """Return everything below a folder that is neither a folder nor a regular file: links, sockets, FIFOs, devices."""
    paths = [p for p in directory.rglob("*") if not is_regular(p) and not stat.S_ISDIR(p.lstat().st_mode)]
    return sorted(p.relative_to(directory).as_posix() for p in paths)


def picture(directory: Path) -> dict[str, str]:
    """Return every path below a folder with the digest of its content (for folders and links, their kind)."""
    found = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        found[name] = digest_file(path)[1] if is_regular(path) else stat.filemode(path.lstat().st_mode)[0]
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths that appeared, vanished or changed between two pictures."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
