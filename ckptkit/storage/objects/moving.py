"""Objects of checkpoints whose files lie beside their manifest, moved key by key: copied, all of them, then deleted."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from ckptkit import parallel
from ckptkit.errors import RefusedError
from ckptkit.layouts.adopted import parted
from ckptkit.manifest.names import lies_beside
from ckptkit.storage.interface import Entry
from ckptkit.storage.objects.keys import RunKeys
from ckptkit.storage.objects.service import Info, Objects

_THREADS = 16
_BLOCK = 1 << 20


def paths_of(objects: Objects, entry: Entry, files: Sequence[str]) -> dict[str, Info]:
    """Return the objects that belong to an entry, by their keys relative to its run.

    Args:
        objects: the service.
        entry: the checkpoint; its files lie beside its manifest.
        files: where it shares its folder: its payload.

    Raises:
        RefusedError: a folder of its holds what is not among the files.
    """
    prefix = RunKeys(entry.run).prefix
    if not entry.layout.shared:
        return {info.key.removeprefix(prefix): info for info in objects.below(f"{prefix}{entry.name}/")}
    own = (entry.manifest_file, *entry.notes)
    # A manifest that lists what lies elsewhere must not move what is others'.
    names = list(dict.fromkeys([*own, *(file for file in files if lies_beside(entry.layout, file))]))
    beside, folders = parted(names)
    found = {path: info for path in beside if (info := objects.look(prefix + path)) is not None}
    for folder in folders:
        for info in objects.below(f"{prefix}{folder}/"):
            path = info.key.removeprefix(prefix)
            if path not in names:
                raise RefusedError(f"{entry.ref}: is not removed: no manifest lists {path}", hint="adopt it again")
            found[path] = info
    return found


def copy_all(objects: Objects, paths: Iterable[str], source: str, target: str) -> None:
    """Copy objects from one prefix to another, several at a time; raises what the first that failed raised."""

    def copy(path: str, told: parallel.Tell) -> None:
        objects.copy(source + path, target + path)

    parallel.results([partial(copy, path) for path in paths], _THREADS, lambda count: None)


def delete_below(objects: Objects, prefix: str, on_bytes: Callable[[int], None] | None = None) -> None:
    """Delete all below a prefix, and tell its size."""
    there = list(objects.below(prefix))
    objects.delete([info.key for info in there])
    if on_bytes is not None and there:
        on_bytes(sum(info.size for info in there))


def same_content(objects: Objects, one: Info, other: Info) -> bool:
    """Return whether two objects hold the same bytes."""
    if one.size != other.size:
        return False
    try:
        for start in range(0, one.size, _BLOCK):
            if objects.read(one.key, start, _BLOCK)[0] != objects.read(other.key, start, _BLOCK)[0]:
                return False
    except FileNotFoundError:
        return False
    return True


def delete_remnants(
    objects: Objects, copies: Mapping[str, Info], there: Mapping[str, Info], before: Info, claimed: Collection[str]
) -> None:
    """Delete what a removal that was cut off has copied into the trash and not deleted yet.

    Args:
        objects: the service.
        copies: what is in the trash.
        there: what is in the run, by the same paths.
        before: only what was written no later than this, the last object of the entry: others may have begun to
            write the same file again.
        claimed: paths that checkpoints which are still there list too; they stay.
    """
    gone = [
        info.key
        for path, info in there.items()
        if path in copies
        and path not in claimed
        and info.modified <= before.modified
        and same_content(objects, info, copies[path])
    ]
    objects.delete(gone)
