"""Find checkpoints that a trainer wrote into a run's folder without a manifest, and give them one in place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ckptkit import registry
from ckptkit.errors import CkptkitError
from ckptkit.layouts.numbered import stem_of
from ckptkit.renamed import warn
from ckptkit.storage import Storage
from ckptkit.trainers import finding

ITEMS = {"sb3": "agent", "safetensors": "policy", "tf-data": "data", "numpy-rng": "rng", "files": "model:files"}
"""What an adopted item is called, by backend; for others it is the backend's own name."""
_OF_UNKNOWN_KIND = frozenset({".bin", ".ckpt", ".h5", ".keras", ".pt", ".pth", ".tar"})
"""Suffixes of files that trainers write but no backend claims: a person must ask for them to be kept as they are."""
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Checkpoints of one kind in one run, without manifests.

    Attributes:
        run: the run in whose folder they lie.
        backend: which backend recognises the newest of them.
        paths: the main file or the folder of each, by step, or by what else its name counts.
        step: what the name of the newest tells.
        in_place: whether ``adopt`` can give them manifests where they lie; if not, they can be copied with ``save``.
    """

    run: str
    backend: str
    paths: tuple[Path, ...]
    step: int
    in_place: bool

    @property
    def item(self) -> str:
        """What the item of each is called when it is adopted; with ``:files`` where no backend recognises it."""
        return ITEMS.get(self.backend, self.backend)


def find(storage: Storage, run: str | None = None) -> list[Unlisted]:
    """Return what trainers wrote into a run, or anywhere in the store, that no manifest lists.

    Names say where to look; of many with similar names only the newest is looked into.
    """
    alike: dict[tuple[str, Path, str], list[tuple[int, Path]]] = {}
    signed: set[Path] = set()  # folders with a sign by which one trainer's are known
    for name, path, told in storage.unlisted(run):
        numbered = (0 if told.number is None else told.number, path)
        if told.signed:
            signed.add(path)
        alike.setdefault((name, path.parent, _NUMBERS.sub("0", path.name)), []).append(numbered)
    found = []
    for (name, _, _), sorts in alike.items():
        sorts.sort()
        paths = tuple(path for _, path in sorts)
        step, newest = sorts[-1]
        try:
            backend, _ = _recognised(newest)
        except CkptkitError:
            if newest in signed or (newest.suffix in _OF_UNKNOWN_KIND and newest.is_file()):
                found.append(Unlisted(name, "files", paths, step, in_place=_is_of_a_trainer(newest)))
            continue
        found.append(Unlisted(name, backend, paths, step, in_place=True))
    return found


def step_in(path: Path) -> int:
    """Return the last number in a name, by its old name: ``Unlisted.step`` knows better."""
    warn("ckptkit.store.adopting.step_in", "ckptkit.store.adopting.Unlisted.step")
    return int(_NUMBERS.findall(_stem(path))[-1])


def described(path: Path) -> tuple[str, str, list[Path]]:
    """Return, for one checkpoint without a manifest, its stem, a name for its item, and its files, the main one first.

    Raises:
        CkptkitError: no backend recognises it.
    """
    backend, files = _recognised(path)
    return _stem(path), ITEMS.get(backend, backend), sorted(files.values(), key=lambda file: file != path)


def _recognised(path: Path) -> tuple[str, Mapping[str, Path]]:
    backend, files = registry.for_path(path, name=path.name)[:2]
    return backend.name, files


def _is_of_a_trainer(path: Path) -> bool:
    one = finding.at(path)
    return one is not None and one.kind != finding.NOBODYS


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else stem_of(path.name)
