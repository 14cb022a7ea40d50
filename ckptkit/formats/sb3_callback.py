"""What SB3's CheckpointCallback writes after each zip, and whether it is done with the newest."""

import re
from pathlib import Path

from ckptkit.errors import DamagedError

_ZIP = re.compile(r"(?P<prefix>.*)_(?P<steps>\d+)_steps\.zip")
_AFTER = ("replay_buffer", "vecnormalize")


def require_finished(source: Path) -> None:
    """Raise DamagedError where the callback wrote a file beside its earlier zips, and has not yet beside this one.

    Later ones tell nothing: to save room, people remove the old buffers and keep the newest.

    Args:
        source: what is adopted; anything but a zip with such a name is left alone.
    """
    match = _ZIP.fullmatch(source.name)
    if match is None or not source.is_file():
        return
    for kind in _AFTER:
        form = re.compile(rf"{re.escape(match['prefix'])}_{kind}_(\d+)_steps\.pkl")
        beside = [int(found[1]) for entry in source.parent.iterdir() if (found := form.fullmatch(entry.name))]
        if beside and max(beside) < int(match["steps"]):
            raise DamagedError(
                f"{source.name}: no {kind} beside it, though the zip of {max(beside)} steps has one: "
                "CheckpointCallback writes it after the zip",
                hint="save when it is done; to keep the zip alone, copy it to another folder",
            )
