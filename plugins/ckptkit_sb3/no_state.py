"""Which attributes are not state: by the class that made them, or by the kind of their value, never by name alone.

``actions`` of a ``DummyVecEnv`` is overwritten by each step before anything reads it; ``actions`` of somebody else's
wrapper may be all that the wrapper is there for.
"""

import logging
from functools import lru_cache
from typing import Any

from ckptkit_sb3.names import full_name, is_kind, module_of

_CLASSES = 1024
"""Of so many classes the answer is remembered: a save asks of each value in each environment."""
_VEC = "stable_baselines3.common.vec_env"
_VEC_ENV = f"{_VEC}.base_vec_env.VecEnv"
_OWNERS = {
    _VEC_ENV: "metadata render_mode observation_space action_space",
    f"{_VEC}.base_vec_env.VecEnvWrapper": "venv class_attributes",
    f"{_VEC}.dummy_vec_env.DummyVecEnv": "envs actions buf_infos",
    f"{_VEC}.subproc_vec_env.SubprocVecEnv": "remotes work_remotes processes waiting closed",
    f"{_VEC}.vec_monitor.VecMonitor": "results_writer t_start",
    f"{_VEC}.vec_normalize.VecNormalize": "obs_spaces",
    "stable_baselines3.common.monitor.Monitor": "results_writer t_start",
    "stable_baselines3.common.buffers.BaseBuffer": "observation_space action_space device",
    "stable_baselines3.common.buffers.RolloutBuffer": "pos full generator_ready",
    "stable_baselines3.her.her_replay_buffer.HerReplayBuffer": "env",
    "stable_baselines3.common.callbacks.BaseCallback": "model locals globals parent",
    "stable_baselines3.common.callbacks.CallbackList": "callbacks",
    "stable_baselines3.common.callbacks.EvalCallback": "best_model_save_path log_path",
    "stable_baselines3.common.callbacks.CheckpointCallback": "save_path",
    "gymnasium.core.Env": "metadata render_mode spec",
    "gymnasium.core.Wrapper": "env _metadata _cached_spec",
    "gymnasium.utils.record_constructor.RecordConstructorArgs": "_saved_kwargs",
    "gymnasium.utils.ezpickle.EzPickle": "_ezpickle_args _ezpickle_kwargs",
}
"""Full name of a class, and its attributes that are definition, of the process, wall time, or overwritten unread."""
OPTIONAL = frozenset({"reset_infos"})
"""Attributes of SB3's ``VecEnv`` that may hold anything (what environments said at a reset): kept if it can be said."""
ONCE_SKIPPED = frozenset({
    *("venv", "class_attributes", "envs", "remotes", "work_remotes", "processes", "waiting", "closed", "buf_infos"),
    *("reset_infos", "actions", "metadata", "render_mode", "spec", "results_writer", "t_start", "observation_space"),
    *("action_space", "obs_spaces", "env", "_metadata", "_cached_spec", "_saved_kwargs", "_ezpickle_args"),
    *("_ezpickle_kwargs", "ckptkit_factory", "screen", "clock", "viewer", "window", "window_surface", "surf"),
    *("mujoco_renderer", "device", "replay_buffer"),
})  # fmt: skip
"""Checkpoints of before lack these in any object: where such a name is missing, what the target has stays."""
_OUTPUT = ("pygame", "pyglet", "glfw", "gymnasium.envs.mujoco.mujoco_rendering", "tqdm", "torch.utils.tensorboard")
_KINDS = frozenset({
    "stable_baselines3.common.distributions.Distribution",  # made anew by each forward pass
    "sb3_contrib.common.maskable.distributions.MaskableDistribution",
    "stable_baselines3.common.logger.Logger",
    "torch.device",
    "torch.dtype",
    "torch.Size",
    "numpy.dtype",
    "pathlib.PurePath",
    "re.Pattern",
    "weakref.ReferenceType",
})  # fmt: skip


def names_of(value: object) -> frozenset[str]:
    """Return the names of an object's attributes that are not state, from all classes that it descends from."""
    cls: Any = type(value)  # mypy does not take a class for hashable
    return _names_of(cls)


@lru_cache(maxsize=_CLASSES)
def _names_of(cls: type) -> frozenset[str]:
    found: set[str] = set()
    for kind in cls.__mro__:
        found.update(_OWNERS.get(full_name(kind), "").split())
        found.update(kind.__dict__.get("ckptkit_no_state", ()))
    return frozenset(found)


def is_optional(value: object, name: str) -> bool:
    """Return whether an attribute is kept only where it can be said."""
    return name in OPTIONAL and is_kind(value, _VEC_ENV)


def is_output(value: Any) -> bool:
    """Return whether a value only shows, logs or refers, is immutable, or is made anew before it is read."""
    cls: Any = type(value)  # mypy does not take a class for hashable
    return _is_output(cls)


@lru_cache(maxsize=_CLASSES)
def _is_output(cls: type) -> bool:
    if issubclass(cls, (logging.Logger, logging.LoggerAdapter)):
        return True
    for kind in cls.__mro__:
        if full_name(kind) in _KINDS or any(f"{module_of(kind)}.".startswith(f"{name}.") for name in _OUTPUT):
            return True
    return False
