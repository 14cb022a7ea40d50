"""Where the manifests of adopted checkpoints go, and what their runs are called there."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ckptkit.errors import RunNameError, UsageError
from ckptkit.manifest.names import check_run
from ckptkit.storage import require_path

Manifests = Literal["beside", "store"]


@dataclass(frozen=True, slots=True)
class Places:
    """Where manifests go.

    Attributes:
        store: path or URL of the store that lists them.
        root: the folder that the names of runs are counted from.
        prefix: what stands before them; empty where the root is the store.
        beside: whether the manifests lie beside the files.
        why: why they go there, where nobody asked for it; for people.
    """

    store: str
    root: Path
    prefix: str = ""
    beside: bool = True
    why: str = ""

    def told(self, path: Path) -> str:
        """Return what a person calls a path below the root: on a service its URL."""
        inner = path.relative_to(self.root).as_posix() if self.on_service else ""
        return f"{self.store}/{inner}".removesuffix("/.") if self.on_service else str(path)

    @property
    def on_service(self) -> bool:
        """Whether the files lie on a service, and the root is a folder of this machine that stands in for it."""
        return self.beside and "://" in self.store

    def run_of(self, folder: Path) -> str:
        """Return the run of a folder; raises RunNameError where its name cannot be one."""
        inner = folder.relative_to(self.root).as_posix()
        parts = [part for part in (self.prefix, inner) if part and part != "."]
        return check_run("/".join(parts) or ".")


def decide(
    folder: Path,
    *,
    run: str | None = None,
    manifests: Manifests | None = None,
    named: str | None = None,
    usual: str,
    holding: Iterable[Path] = (),
) -> Places:
    """Return where the manifests of what lies in a folder go.

    Args:
        folder: what was given, links looked through; of a single checkpoint the folder that it lies in.
        run: name that was given.
        manifests: where they were asked to go.
        named: the store on the command line.
        usual: the store otherwise: of the environment, the configuration, or the default.
        holding: folders in which checkpoints lie: whether they can be written to decides, where nothing was asked.

    Raises:
        UsageError: the run's name does not fit the place, or the manifests would lie in an object service.
    """
    if run is not None:
        check_run(run)
    given = _root_of(usual if named is None else named)
    inside = given is not None and folder.is_relative_to(given)
    if manifests == "beside" or inside:
        return _beside(folder, run, given if inside else None)
    if manifests is None and named is None:
        locked = next((place for place in map(_there, holding) if not os.access(place, os.W_OK | os.X_OK)), None)
        if locked is None:
            return _beside(folder, run, None)
        return _apart(folder, run, usual, f"{locked} cannot be written to")
    return _apart(folder, run, usual if named is None else named, "" if manifests else "--store names another folder")


def _root_of(store: str) -> Path | None:
    """Return the folder of a store; None for one that is elsewhere, or not there."""
    path = Path(store.removeprefix("file://"))
    return path.resolve() if "://" not in str(path) and path.is_dir() else None


def _there(folder: Path) -> Path:
    """Return a folder, or the one that it will be made in: --watch may be started before the trainer."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _beside(folder: Path, run: str | None, store: Path | None) -> Places:
    root = store or folder
    if run is None:
        return Places(str(root), root)
    here = root if store else None
    if run != ".":
        parts = run.split("/")
        if list(folder.parts[-len(parts) :]) == parts and here in (None, above := Path(*folder.parts[: -len(parts)])):
            return Places(str(above if here is None else here), above if here is None else here)
    elif here in (None, folder):
        return Places(str(folder), folder)
    raise UsageError(
        f"--run {run}: manifests beside the files name runs by their folders, and {folder} does not end in it",
        hint="leave --run out, or keep the manifests apart from the files: --manifests store --store FOLDER",
    )


def _apart(folder: Path, run: str | None, store: str, why: str) -> Places:
    require_path(store.removeprefix("file://"), "adopt without it; then `ckptkit copy` copies what was adopted there")
    if run is None:
        try:
            run = check_run(folder.name or "run")
        except RunNameError as error:
            raise UsageError(f"{error.message}", hint="name the run: --run NAME") from error
    return Places(store, folder, "" if run == "." else run, beside=False, why=why)
