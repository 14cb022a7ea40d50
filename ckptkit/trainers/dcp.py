"""``torch.distributed.checkpoint``: ``.metadata`` is written last, to a temporary name, and names all other files.

Source: torch/distributed/checkpoint/filesystem.py (``FileSystemWriter.finish``).
"""

from dataclasses import dataclass

from ckptkit.formats.dcp import extents
from ckptkit.formats.escaped import escaped
from ckptkit.layouts.dcp import MARKER
from ckptkit.trainers.interface import Judged, Resuming, Seen, Told
from ckptkit.trainers.steps import told_step

_RESUMING = Resuming(call="dcp.load(state, checkpoint_id=PATH)")


@dataclass(frozen=True, slots=True)
class Dcp:
    """``dcp.save``: the program that called it loads it too, with flags of its own, so no command is known."""

    kind: str = "dcp"
    title: str = "torch.distributed.checkpoint"
    item: str = "model"
    resuming: Resuming = _RESUMING

    def judge(self, seen: Seen) -> Judged:
        """Return whether the marker is there, can be read, and names only what is there."""
        return judged_folder(seen)

    def told(self, seen: Seen) -> Told:
        """Return the step of the name: a tensor in the shards may hold one, but none is known to."""
        return told_step(seen, ())


def judged_folder(seen: Seen) -> Judged:
    """Return whether a folder of DCP's was finished."""
    folder = seen.folder / seen.found.name
    if not seen.listing.has(f"{seen.found.name}/{MARKER}"):
        return Judged("incomplete", (f"no {MARKER} is in it, which is written last",))
    sizes = extents(folder / MARKER)
    if sizes is None:
        return Judged("incomplete", (f"{MARKER} cannot be read",))
    gone = sorted(name for name in sizes if not seen.listing.has(f"{seen.found.name}/{name}"))
    if gone:
        return Judged("incomplete", (f"{escaped(gone[0])}, which {MARKER} names, is not there",))
    return Judged("complete", (f"{MARKER}, written last, is there",))
