"""The file that a checkpoint's name stands for: ``last.ckpt`` may be a link to another in its folder."""

import os
from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.formats.escaped import escaped
from ckptkit.trainers.interface import Seen


def file_of(seen: Seen) -> Path:
    """Return the path of the checkpoint's main file, or of what it links to.

    Raises:
        DamagedError: the link leads out of the folder, or to what is not there.
    """
    path = seen.folder / seen.found.name
    target = link_target(path)
    if target is None:
        return path
    if "/" in target or target in ("", ".", ".."):
        raise DamagedError(f"{escaped(path.name)} is a link that leads out of its folder")
    real = path.with_name(target)
    if not real.is_file():
        raise DamagedError(f"{escaped(path.name)} is a link to {escaped(target)}, which is not there")
    return real


def link_target(path: Path) -> str | None:
    """Return what a link names, whether it is there or not; None where it is no link.

    An absolute path of something in the link's own folder is told by its name alone.
    """
    try:
        target = os.readlink(path)
    except (OSError, ValueError):
        return None
    folder, _, name = target.rstrip("/").rpartition("/")
    return name if folder and Path(folder) in (path.parent, path.parent.resolve()) else target.rstrip("/")
