"""Find below a folder what trainers wrote, by names alone: links are never followed, hidden folders are left alone."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from ckptkit.layouts import FOREIGN, STEP_FOLDER, Listing, claimed
from ckptkit.layouts.adopted import main_of
from ckptkit.layouts.numbered import Numbered, stem_of
from ckptkit.layouts.own_names import SIDECAR_SUFFIX
from ckptkit.trainers.interface import Seen

NOBODYS = Numbered().kind
"""Kind of what only ends in a number: a folder of such a name may as well hold other checkpoints."""

_WHOLE_FOLDERS, _WHOLE_FILES = ("hf_trainer", "accelerate", "lerobot"), ("lightning", "sb3_callback")
"""Kinds whose checkpoints are never a part of another one."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A checkpoint that a trainer wrote, whole or not: only names were read.

    Attributes:
        kind: of the layout that found it.
        seen: where it lies, and what belongs to it.
        adopted: what stands before ``.manifest.json`` in the manifests beside it that name it.
    """

    kind: str
    seen: Seen
    adopted: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Its folder or main file."""
        return self.seen.folder / self.seen.found.name


@dataclass(slots=True)
class Looked:
    """What a search came across besides checkpoints.

    Attributes:
        folders: how many were looked into.
        files: how many other names there were in them.
        unreadable: folders that may not be read: why.
        links: links beside checkpoints, and what each leads to as it is written; none was followed.
        stale: folder and name of manifests beside which what they name is gone.
    """

    folders: int = 0
    files: int = 0
    unreadable: dict[Path, str] = field(default_factory=dict)
    links: dict[Path, str] = field(default_factory=dict)
    stale: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Folder:
    """What lies right in a folder."""

    path: Path
    listing: Listing
    adopted: Mapping[str, tuple[str, ...]]
    sidecars: frozenset[str]
    links: Mapping[str, str]


def below(root: Path, looked: Looked | None = None, *, deep: bool = True) -> Iterator[Sighting]:
    """Yield what trainers wrote right in a folder, and in the folders in it that are no checkpoints.

    Without recursion, as a stranger's folders may be nested without end.

    Args:
        root: the folder.
        looked: told what else there was.
        deep: whether folders in it are looked into.
    """
    looked = looked if looked is not None else Looked()
    waiting = [root]
    while waiting:
        folder = _read(waiting.pop(), looked)
        if folder is None:
            continue
        found = list(_sightings(folder))
        looked.stale += _stale(folder)
        if found:
            looked.links |= {folder.path / name: target for name, target in folder.links.items()}
        doubtful = []
        for one in found:
            if one.kind == NOBODYS and one.seen.found.name in folder.listing.folders and deep:
                doubtful.append(one)
            else:
                yield one
        inner = {one.seen.found.name for one in doubtful}
        for one in doubtful:  # a number alone: what is in it decides
            within = list(below(one.path, looked))
            yield from [one] if _are_parts(within, one.path) else within or [one]
        if deep:
            taken = {name for one in found for name in one.seen.found.files} | inner
            waiting += [
                folder.path / name for name in sorted(folder.listing.folders, reverse=True) if name not in taken
            ]


def _are_parts(within: list[Sighting], folder: Path) -> bool:
    """Return whether what is in a folder of a training's own belongs to weights beside it: ``optimizer_state.pth``."""
    return all(
        one.kind == "torch_file"
        and one.seen.found.number is None
        and one.seen.folder == folder
        and any(name.endswith(".safetensors") for name in one.seen.listing.files)
        for one in within
    )


def at(path: Path) -> Sighting | None:
    """Return the one checkpoint that a path is, or is a file of; None where it is none, or only by its number."""
    folder = _read(path.parent, Looked())
    if folder is None or path == path.parent:
        return None
    for one in _sightings(folder):
        found = one.seen.found
        prefixes = (stem_of(name) for name in found.files)
        if path.name in found.files or (not path.exists() and path.name in prefixes):
            return one
    return None


def training_within(one: Sighting) -> Sighting | None:
    """Return a checkpoint of another training in the folder of one, such as ``checkpoint-4/ft/checkpoint-8``.

    What DeepSpeed, FSDP and others keep in folders of a checkpoint is a part of it.
    """
    if one.kind not in _WHOLE_FOLDERS or one.seen.found.name not in one.seen.listing.folders:
        return None
    return next((inner for inner in below(one.path) if inner.kind in (*_WHOLE_FOLDERS, *_WHOLE_FILES)), None)


def _sightings(folder: _Folder) -> Iterator[Sighting]:
    for layout, found in claimed(FOREIGN, folder.listing):
        if stem_of(found.name) not in folder.sidecars and found.name not in folder.sidecars:
            yield Sighting(layout.kind, Seen(folder.path, found, folder.listing), folder.adopted.get(found.name, ()))


def _stale(folder: _Folder) -> Iterator[tuple[Path, str]]:
    for main, names in folder.adopted.items():
        if not folder.listing.has(main):
            yield from ((folder.path, name) for name in names)


def _read(path: Path, looked: Looked) -> _Folder | None:
    folders: list[str] = []
    files: list[str] = []
    links: dict[str, str] = {}
    adopted: dict[str, tuple[str, ...]] = {}
    sidecars: set[str] = set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name.endswith(SIDECAR_SUFFIX):
                    stem = name.removesuffix(SIDECAR_SUFFIX)
                    if (main := main_of(stem)) is None:
                        sidecars.add(stem)
                    else:
                        adopted[main] = (*adopted.get(main, ()), stem)
                elif name.startswith("."):
                    continue
                elif entry.is_symlink():
                    links[name] = os.readlink(entry.path)
                elif entry.is_dir():
                    folders.append(name)
                else:
                    files.append(name)
    except OSError as error:
        looked.unreadable[path] = error.strerror or str(error)
        return None
    looked.folders += 1
    looked.files += len(files)
    inside = cache(partial(_names, str(path)))

    def has(inner: str) -> bool:
        around, _, name = inner.rpartition("/")
        return name in inside(around)

    ours = set(STEP_FOLDER.find(Listing(folders, files, has)))
    listing = Listing([name for name in folders if name not in ours], files, has)
    return _Folder(path, listing, adopted, frozenset(sidecars), links)


def _names(folder: str, inner: str) -> frozenset[str]:
    """Return what lies in a folder; read once, as every layout asks for names of its own."""
    try:
        return frozenset(os.listdir(f"{folder}/{inner}"))
    except OSError:
        return frozenset()
