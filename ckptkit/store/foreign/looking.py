"""What a path that somebody names stands for: one checkpoint, or a folder below which there may be many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ckptkit.errors import NotFoundError
from ckptkit.formats.escaped import escaped
from ckptkit.layouts import Found, Listing
from ckptkit.store.foreign import judging
from ckptkit.trainers import Seen, finding, sb3_callback
from ckptkit.trainers.finding import NOBODYS, Looked, Sighting


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found at a path.

    Attributes:
        path: what was named, links looked through.
        folder: the folder that was looked into; of a single checkpoint the one that it lies in.
        single: whether the path is one checkpoint.
        sightings: what was found.
        looked: what else there was.
    """

    path: Path
    folder: Path
    single: bool
    sightings: Sequence[Sighting]
    looked: Looked = field(default_factory=Looked)


def look(path: Path, *, to_come: bool = False, known: Callable[[Sighting], bool] = judging.is_known) -> Sought:
    """Return what trainers wrote at a path, or below it.

    Args:
        path: a folder, a checkpoint's folder, or a file of one.
        to_come: whether it may not be there yet.
        known: whether a backend recognises the content of what no trainer's layout found.

    Raises:
        NotFoundError: there is nothing at the path.
    """
    if path.is_symlink() and not path.exists():
        raise NotFoundError(
            f"{path}: is a link to {escaped(str(path.readlink()))}, which does not exist",
            hint="name the folder that it lies in: the checkpoints beside it are found there",
        )
    path = path.resolve()
    one = finding.at(path)
    if one is not None and (one.kind != NOBODYS or not path.is_dir()):
        return Sought(one.path, path.parent, True, [one])
    if not path.exists():
        if to_come:
            return Sought(path, path, False, [])
        raise NotFoundError(f"{path}: does not exist", hint="check the path")
    looked = Looked()
    found = list(judging.recognised(finding.below(path, looked), known)) if path.is_dir() else []
    if not found and (one := one or _anything(path)) is not None and known(one):
        return Sought(path, path.parent, True, [one])
    return Sought(path, path, False, found, looked)


def _anything(path: Path) -> Sighting | None:
    """Return a path that no layout knows by its name, as a person named it: its content may be known."""
    if path == path.parent:
        return None
    kind = sb3_callback.KIND if sb3_callback.is_agent(path) else NOBODYS
    folder = [path.name] if path.is_dir() else []
    listing = Listing(folder, [] if folder else [path.name], lambda name: (path.parent / name).exists())
    return Sighting(kind, Seen(path.parent, Found(path.name, (path.name,)), listing))
