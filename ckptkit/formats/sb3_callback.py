"""What SB3's CheckpointCallback writes after each zip, and whether it is done with the newest."""

from pathlib import Path

from ckptkit.errors import DamagedError
from ckptkit.layouts import sb3_callback as layout


def require_finished(source: Path) -> None:
    """Raise DamagedError where the callback wrote a file beside its earlier zips, and has not yet beside this one.

    Later ones tell nothing: to save room, people remove the old buffers and keep the newest.

    Args:
        source: what is adopted; anything but a zip with such a name is left alone.
    """
    parts = layout.prefix_and_steps(source.name)
    if parts is None or not source.is_file():
        return
    prefix, steps = parts
    names = [entry.name for entry in source.parent.iterdir()]
    for kind in layout.KINDS:
        beside = layout.steps_beside(kind, names, prefix)
        if beside and max(beside) < int(steps):
            raise DamagedError(
                f"{source.name}: no {kind} beside it, though the zip of {max(beside)} steps has one: "
                "CheckpointCallback writes it after the zip",
                hint="save when it is done; to keep the zip alone, copy it to another folder",
            )
