"""Files that a report is written to: whether they can be is found out before the work that they report on."""

import os
from pathlib import Path

from ckptkit.errors import UsageError
from ckptkit.storage import require_path


def require_writable(option: str, path: Path) -> None:
    """Raise UsageError for a file that could not be written once the work is done; nothing of it stays."""
    require_path(path)
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder", hint=f"name a file in it: {path / 'report.xml'}")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    try:
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            path.unlink()
        elif path.is_file():  # a pipe that somebody reads from is left alone
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        hint = "name a file where you may write"
        raise UsageError(f"{option} {path}: cannot be written ({error.strerror})", hint=hint) from error


def write(path: Path, text: str, *, whole: bool = False) -> None:
    """Write a report; ``whole``: whoever reads it meanwhile sees the one before or this one, never a part."""
    if whole and (path.is_file() or not path.exists()):
        from ckptkit.durable import replace_file

        replace_file(path, text.encode(), lasting=False)
    else:
        path.write_text(text, encoding="utf-8")
