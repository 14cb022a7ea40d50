"""Finding and reading checkpoints: what a person who wants to look at one, or go on from one, needs."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit_sb3 import Sb3Backend
from ckptkit_sb3.boundary import progress_of

from ckptkit import CheckpointStore
from ckptkit.backend import LoadContext
from ckptkit.errors import CkptkitError, InconsistentSetError
from training import layout
from training.agent import build_model, make_env
from training.config import TrainingConfig, combined


def list_checkpoints(checkpoint_dir: str | Path, run_id: str, agent_id: str) -> list[Path]:
    """Return the zips of a run's committed checkpoints, by episode; none when it has not saved any yet."""
    folder = Path(checkpoint_dir) / agent_id / run_id
    if not folder.is_dir():
        return []
    found = CheckpointStore(checkpoint_dir).list(f"{agent_id}/{run_id}")
    return [folder / f"{listed.at.name}.zip" for listed in found if listed.at.sidecar]


def load_checkpoint(
    path: str | Path, env: Any = None, *, episode: int | None = None
) -> tuple[Any, TrainingConfig, dict[str, Any]]:
    """Return the agent of a checkpoint, the configuration of its training, and what else its metadata says.

    Args:
        path: its zip.
        env: the environment to put the agent and its saved state into; built from the configuration when left out.
        episode: count episodes on from here, whatever the metadata says.

    Raises:
        FileNotFoundError: Checkpoint not found.
        RuntimeError: Failed to load model from checkpoint; the notes say why.
        InconsistentSetError: the metadata is of another episode than the file's name.
    """
    found = find_checkpoint(path, episode=episode)
    config = combined(found.config)
    resumed = load_agent(found, config, make_env(config) if env is None else env)
    return resumed.model, config, {**found.extra, "episode": found.episode, "run_id": found.run_id}


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that may be loaded: its files are what was saved, as far as anybody can know.

    Attributes:
        path: its zip.
        episode: finished episodes.
        run_id: of the run that saved it.
        config: of that run, as saved.
        extra: ``extra_state`` of the metadata.
        parent: ``(run, episode)`` as a later checkpoint names it; None for files that no manifest vouches for.
        exact: whether all that the zip does not hold lies beside it.
    """

    path: Path
    episode: int
    run_id: str | None
    config: Mapping[str, Any]
    extra: Mapping[str, Any]
    parent: tuple[str, int] | None
    exact: bool


def find_checkpoint(path: str | Path, *, episode: int | None = None) -> Found:
    """Look at the files of a checkpoint without loading it; see ``load_checkpoint``."""
    path = Path(path).absolute()
    if not path.is_file():
        raise FileNotFoundError(f"Checkpoint not found: {path}")
    metadata = _metadata(path)
    named, noted = layout.episode_in(path), metadata["episode"]
    if episode is None and named is not None and named != noted:
        raise InconsistentSetError(
            f"{path.stem}_metadata.json says episode {noted}, the file name {named}",
            hint="put the right metadata back, or say which: --resume-episode N",
        )
    parent = None
    if path.with_name(f"{path.stem}.manifest.json").exists():
        parent = _verified(path, named)
    return Found(
        path=path,
        episode=noted if episode is None else episode,
        run_id=metadata.get("run_id"),
        config=metadata["config"],
        extra=metadata.get("extra_state") or {},
        parent=parent,
        exact="state.json" in layout.backend_files(path),
    )


def load_agent(found: Found, config: TrainingConfig, env: Any) -> Any:
    """Return the ``Resumed`` of a checkpoint, whose ``learn`` goes on; raises RuntimeError. Nothing is unpickled."""
    model = build_model(config, env)
    files = layout.backend_files(found.path)
    context = LoadContext(
        files=sorted(files), metadata={"captured": found.exact, "zip": layout.MODEL}, step=found.episode
    )
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
    try:
        metadata = layout.read_metadata(path)
    except (FileNotFoundError, CkptkitError) as error:
        reason = "its _metadata.json is missing" if isinstance(error, FileNotFoundError) else str(error)
        raise _failed(path, reason) from error
    if type(metadata.get("episode")) is not int or not isinstance(metadata.get("config"), dict):
        raise _failed(path, f"{path.stem}_metadata.json: has no episode or no config")
    return metadata


def _verified(path: Path, episode: int | None) -> tuple[str, int]:
    folder = path.parent
    report = CheckpointStore(folder.parent).verify(f"{folder.name}@{episode}")
    found = report.checkpoints[0]
    if not found.good or found.manifest is None:
        lines = [f"{p.file or path.name}: {p.message}" for p in found.problems if p.severity != "warning"]
        hint = f"`ckptkit resume-cmd` falls back to an older one that verifies; or remove {path.stem}.manifest.json"
        raise _failed(path, *lines, f"{hint} to take the files as they are")
    return found.manifest.run, found.manifest.step


def _failed(path: Path, *reasons: str) -> RuntimeError:
    error = RuntimeError("Failed to load model from checkpoint")
    for line in (str(path), *reasons):
        error.add_note(line)
    return error
