"""The flat files of an episode checkpoint of a Stable-Baselines3 run: their names, which exist, how they load.

``ep000050.zip`` is an ordinary SB3 zip. Beside it lie ``ep000050_metadata.json``, what the zip does not hold
(``ep000050_state.json`` and npz files), and ``ep000050.manifest.json``, which makes them a checkpoint.
"""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit_sb3 import Sb3Backend
from ckptkit_sb3.layout import noted_beside
from ckptkit_sb3.progress import progress_of

from ckptkit.backend import LoadContext
from ckptkit.errors import CkptkitError, InconsistentSetError
from ckptkit.store import CheckpointStore

MODEL = "model.zip"
"""Name of the zip in a folder of the SB3 backend; the other files keep their names after the stem."""
METADATA = "metadata.json"
_STATE = "state.json"
_STEM = re.compile(r"^ep(\d{6,12})$")
_LOG = logging.getLogger(__name__)


def stem_of(episode: int) -> str:
    """Return ``ep000050``."""
    return f"ep{episode:06d}"


def episode_in(path: Path) -> int | None:
    """Return the episode in the name of a zip, or None for any other name."""
    found = _STEM.match(path.stem)
    return int(found[1]) if found else None


def flat_name(stem: str, name: str) -> str:
    """Return what a file of the backend is called in a flat layout (``state.json``: ``ep000050_state.json``)."""
    return f"{stem}.zip" if name == MODEL else f"{stem}_{name}"


def backend_files(zip_file: Path) -> dict[str, Path]:
    """Return the files of a checkpoint that the backend wrote, by the names that it gave them."""
    found = {MODEL: zip_file}
    for path in sorted(zip_file.parent.glob(f"{zip_file.stem}_*")):
        name = path.name.removeprefix(f"{zip_file.stem}_")
        if name != METADATA and path.suffix in (".json", ".npz"):
            found[name] = path
    return found


def list_checkpoints(store: CheckpointStore, run: str) -> list[Path]:
    """Return the zips of a run's checkpoints, by episode; empty if it has not saved any yet.

    A zip with metadata that another trainer wrote, without a manifest, is listed too, with a warning: nobody knows
    whether it is whole. What a killed save left behind is not listed.
    """
    folder = store.storage.run_folder(run)
    if not folder.is_dir():
        return []
    committed = [folder / f"{listed.at.name}.zip" for listed in store.list(run) if listed.at.sidecar]
    plain = [path for path in folder.glob("ep*.zip") if _is_plain(path)]
    if plain:
        names = ", ".join(sorted(path.name for path in plain))
        _LOG.warning("%s: without a manifest, so not verified: %s; `ckptkit adopt %s` gives them one", run, names, run)
    return sorted([*committed, *plain], key=lambda path: episode_in(path) or 0)


def _is_plain(path: Path) -> bool:
    beside = path.with_name(flat_name(path.stem, METADATA))
    return (
        episode_in(path) is not None
        and beside.is_file()
        and not path.with_name(f"{path.stem}.manifest.json").exists()
        and not path.with_name(flat_name(path.stem, _STATE)).exists()
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that may be loaded: as far as can be known, its files are what was saved.

    Attributes:
        path: its zip.
        episode: finished episodes.
        run_id: of the run that saved it.
        config: of that run, as saved.
        extra: ``extra_state`` of the metadata.
        parent: ``(run, episode)`` as a later checkpoint names it; None for files that no manifest vouches for.
        exact: whether everything that the zip does not hold is beside it.
    """

    path: Path
    episode: int
    run_id: str | None
    config: Mapping[str, Any]
    extra: Mapping[str, Any]
    parent: tuple[str, int] | None
    exact: bool


def find_checkpoint(path: str | Path, *, episode: int | None = None) -> Found:
    """Look at the files of a checkpoint without loading it.

    Args:
        path: its zip.
        episode: count episodes from here, whatever the metadata says; if the metadata was changed after the save, the
            manifest is read in its place.

    Raises:
        FileNotFoundError: Checkpoint not found.
        RuntimeError: Failed to load model from checkpoint; the notes say why.
        InconsistentSetError: the metadata is of an episode other than the one in the file's name.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"Checkpoint not found: {path}")
    vouched = path.with_name(f"{path.stem}.manifest.json").exists()
    sealed, parent = _verified(path, changed_metadata=episode is not None) if vouched else (None, None)
    metadata = _metadata(path) if sealed is None else sealed
    named, noted = episode_in(path), metadata["episode"]
    if episode is None and named is not None and named != noted:
        raise InconsistentSetError(
            f"{path.stem}_metadata.json says episode {noted}, the file name {named}",
            hint=f"put the right metadata back, or say which it is: --resume-episode {named}",
        )
    return Found(
        path=path,
        episode=noted if episode is None else episode,
        run_id=metadata.get("run_id"),
        config=metadata["config"],
        extra=metadata.get("extra_state") or {},
        parent=parent,
        exact=_STATE in backend_files(path),
    )


def load_agent(found: Found, model: Any) -> Any:
    """Put a checkpoint into a model that was built alike; return the ``Resumed``, whose ``learn`` continues.

    Nothing is unpickled.

    Raises:
        RuntimeError: Failed to load model from checkpoint; the notes say why.
    """
    files = backend_files(found.path)
    context = LoadContext(files=sorted(files), metadata={"captured": found.exact, "zip": MODEL}, step=found.episode)
    with tempfile.TemporaryDirectory() as view:  # the files under the names that the backend gave them
        for name, source in files.items():
            _linked(source, Path(view) / name)
        try:
            resumed = Sb3Backend().load(Path(view), target=model, context=context)
        except Exception as error:  # torch and zipfile fail in as many ways as files can be damaged
            raise _failed(found.path, str(error) or type(error).__name__) from error
    progress_of(resumed.model).episodes = found.episode
    return resumed


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copyfile(source, target)


def _metadata(path: Path) -> dict[str, Any]:
    name = flat_name(path.stem, METADATA)
    if not path.with_name(name).is_file():
        named = [] if episode_in(path) is not None else ["checkpoints are called ep000050.zip, after their episode"]
        raise _failed(path, f"its _{METADATA} is missing", *named)
    try:
        metadata = noted_beside(path.parent, name)
    except CkptkitError as error:
        raise _failed(path, str(error)) from error
    if type(metadata.get("episode")) is not int or not isinstance(metadata.get("config"), dict):
        raise _failed(path, f"{name}: has no episode or no config")
    return metadata


def _verified(path: Path, *, changed_metadata: bool) -> tuple[dict[str, Any] | None, tuple[str, int]]:
    """Verify what the manifest beside a zip lists; return what replaces changed metadata, and which checkpoint it is.

    Args:
        path: the zip.
        changed_metadata: whether metadata that is not what was saved may be replaced by the manifest's.
    """
    folder = path.parent
    report = CheckpointStore(folder.parent).verify(f"{folder.name}@{episode_in(path)}")
    found = report.checkpoints[0]
    manifest, beside = found.manifest, flat_name(path.stem, METADATA)
    problems = [p for p in found.problems if p.severity != "warning"]
    if manifest is not None and not problems:
        return None, (manifest.run, manifest.step)
    only_metadata = manifest is not None and {p.file for p in problems} == {beside}
    if manifest is not None and only_metadata and changed_metadata:
        _LOG.warning("%s is not what was saved: the configuration is taken from the manifest", beside)
        known = {"episode": manifest.step, "config": dict(manifest.config)}
        known["run_id"] = manifest.items["agent"].metadata.get("run_id")
        return known, (manifest.run, manifest.step)
    hints = _hints(path, manifest.step if manifest is not None and only_metadata else None)
    raise _failed(path, *(f"{p.file or path.name}: {p.message}" for p in problems), *hints)


def _hints(path: Path, episode: int | None) -> Sequence[str]:
    hint = f"`ckptkit resume-cmd` falls back to an older one that verifies; or remove {path.stem}.manifest.json"
    if episode is None:
        return [f"{hint} to take the files as they are"]
    return [f"--resume-episode {episode} goes on with what the manifest says instead of the changed metadata"]


def _failed(path: Path, *reasons: str) -> RuntimeError:
    error = RuntimeError("Failed to load model from checkpoint")
    for line in (str(path), *reasons):
        error.add_note(line)
    return error
