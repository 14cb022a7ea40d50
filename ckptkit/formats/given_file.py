"""What people name must be a file, or a folder where that makes sense; not a pipe, socket or device."""

import stat
from pathlib import Path

from ckptkit.errors import UsageError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_file(path: Path, *, or_folder: bool = False, item: str | None = None) -> None:
    """Raise UsageError if something else is at a path; nothing, or a link to nothing, is left to the caller."""
    if not path.exists() or path.is_file() or (or_folder and path.is_dir()):
        return
    kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode), "something else")
    raise UsageError(
        f"{path}: is {kind}, not a regular file{' or a folder' if or_folder else ''}",
        hint="name a file" if path.is_dir() else "it is read more than once: write it to a file first",
        item=item,
    )
