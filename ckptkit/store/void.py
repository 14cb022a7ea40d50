"""Manifests of adopted checkpoints that are void: their trainer has removed what they list, or written over it."""

from collections.abc import Iterable, Mapping

from ckptkit.catalog import manifests
from ckptkit.layouts import ADOPTED
from ckptkit.layouts.adopted import main_of
from ckptkit.storage import Entry, Storage


def of(storage: Storage, run: str, there: Iterable[Entry] | None = None) -> dict[Entry, str]:
    """Return what is void in a run, and why; ``there`` is what is in it, where it was scanned already."""
    removed = {one: "its trainer has removed it" for one in storage.orphans(run) if _is_ours(one)}
    alike: dict[str | None, list[Entry]] = {}
    for one in storage.scan(run) if there is None else there:
        if one.layout is ADOPTED and _is_ours(one):
            alike.setdefault(main_of(one.name), []).append(one)
    moved: dict[Entry, str] = {}
    for several in alike.values():
        if len(several) > 1:
            moved |= _but(max(several, key=_sequence), several)
    return removed | moved


def before(at: Entry) -> dict[Entry, str]:
    """Return the earlier checkpoints of the same main file or folder as one that was just adopted."""
    main = main_of(at.name)
    alike = [one for one in at.storage.scan(at.run) if one.layout is ADOPTED and main_of(one.name) == main]
    return _but(at, [one for one in alike if _is_ours(one)])


def clear(void: Mapping[Entry, str]) -> list[str]:
    """Take them away; one line for each, for people."""
    for one in void:
        one.storage.forget(one)
    return [f"{one.ref}: {main_of(one.name)}: {why}; its manifest was cleared away" for one, why in void.items()]


def _but(at: Entry, several: list[Entry]) -> dict[Entry, str]:
    return {one: f"its trainer has moved it on to step {at.step}" for one in several if one.name != at.name}


def _is_ours(at: Entry) -> bool:
    """Whether it is a manifest at all, of what its name says: a stranger's file may be called the same."""
    manifest = manifests.read(at)[0]
    if manifest is None:
        return False
    main = main_of(at.name)
    return any(main == file.path.partition("/")[0] for item in manifest.items.values() for file in item.files)


def _sequence(at: Entry) -> int:
    manifest = manifests.read(at)[0]
    return -1 if manifest is None else manifest.sequence
