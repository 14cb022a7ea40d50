"""Finding and reading checkpoints: what a person who wants to look at one, or go on from one, needs."""

from pathlib import Path
from typing import Any

from ckptkit_hooks import sb3_episode_files
from ckptkit_hooks.sb3_episode_files import find_checkpoint, load_agent

from ckptkit import CheckpointStore
from training.agent import build_model, make_env
from training.config import TrainingConfig, combined

__all__ = ["find_checkpoint", "list_checkpoints", "load_agent", "load_checkpoint"]


def list_checkpoints(checkpoint_dir: str | Path, run_id: str, agent_id: str) -> list[Path]:
    """Return the zips of a run's checkpoints, by episode; none when it has not saved any yet.

    Those without a manifest, which another trainer wrote, are listed too, and told as a warning.
    """
    return sb3_episode_files.list_checkpoints(CheckpointStore(checkpoint_dir), f"{agent_id}/{run_id}")


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
    resumed = load_agent(found, build_model(config, make_env(config) if env is None else env))
    return resumed.model, config, {**found.extra, "episode": found.episode, "run_id": found.run_id}
