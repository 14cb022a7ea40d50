"""The agent and its environment, built from the configuration, and one digest of all that they are."""

import hashlib
import json
from typing import Any

import gymnasium
import stable_baselines3
from ckptkit_sb3 import Sb3Backend
from stable_baselines3.common.env_util import make_vec_env

from ckptkit import UsageError
from training.config import TrainingConfig


def make_env(config: TrainingConfig) -> Any:
    """Return the vector environment; raises UsageError when there is none of that name, or it cannot be imported."""
    try:
        return make_vec_env(config.env_id, n_envs=config.n_envs, seed=config.seed)
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(f"env_id: {' '.join(str(error).split())}") from error


def build_model(config: TrainingConfig, env: Any) -> Any:
    """Return a fresh agent.

    Raises:
        UsageError: the algorithm does not take the arguments, or not this environment.
    """
    algorithm = getattr(stable_baselines3, config.algorithm.upper())
    arguments = {"device": "cpu", **config.agent_kwargs}
    try:
        return algorithm("MlpPolicy", env, learning_rate=config.learning_rate, seed=config.seed, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{config.algorithm} on {config.env_id}: {reason}", hint="see agent_kwargs and env_id"
        ) from error


def digest(model: Any) -> str:
    """Return one digest of networks, optimizer, counters, environments, replay buffer and random generators."""
    parts = Sb3Backend().digests(model)
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:32]
