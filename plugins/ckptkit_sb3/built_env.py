"""The environment of an agent that is built anew: as many, monitored and normalized as the saved agent's were."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ckptkit_sb3.levels import MONITOR, base_of, wrappers_of
from ckptkit_sb3.names import class_name, is_kind

_VEC_ENVS = "stable_baselines3.common.vec_env"
_NORMALIZE = f"{_VEC_ENVS}.vec_normalize.VecNormalize"
_TRANSPOSE = f"{_VEC_ENVS}.vec_transpose.VecTransposeImage"
_KNOWN = "gymnasium.envs."


def built_env(factory: Callable[[], Any], state: Mapping[str, Any] | None) -> Any:
    """Return what the factory builds, with what SB3 and its users put around an environment.

    A factory of single environments is called once per saved environment; SB3's Monitor and an outermost VecNormalize
    are added where the saved ones had them (their statistics and settings are part of the state).

    Args:
        factory: builds an environment, or a vector environment.
        state: ``state.json``, or None for an adopted zip, which says nothing of its environments.
    """
    env = factory()
    if state is None:
        return env
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    saved = [wrapper["class"] for wrapper in state["sections"]["wrappers"] if wrapper["class"] != _TRANSPOSE]
    if is_kind(env, "gymnasium.core.Env"):
        levels = [described.get("levels", ()) for described in state["sections"]["environments"]]
        made = [env, *(factory() for _ in levels[1:])]
        singles = [
            Monitor(one) if MONITOR in names and not is_kind(one, MONITOR) else one
            for one, names in zip(made, levels, strict=True)
        ]
        env = DummyVecEnv([lambda one=one: one for one in singles])
    inner = [class_name(wrapper) for wrapper in wrappers_of(env)]
    return VecNormalize(env) if saved == [_NORMALIZE, *inner] else env


def registered(env: Any) -> dict[str, Any] | None:
    """Return under which name gymnasium makes the single environments of a vector environment; it is only read.

    Returns:
        ``id``, ``kwargs`` and ``max_episode_steps``, the same for all of them; None where they are in workers, differ,
        are not among those that gymnasium brings, or have arguments that JSON cannot say.
    """
    found = [_making(one) for one in getattr(base_of(env), "envs", ())]
    return found[0] if found and all(one == found[0] for one in found) else None


def registered_factory(making: Any) -> Callable[[], Any] | None:
    """Return what makes an environment as ``registered`` says; None unless gymnasium itself brings it.

    No module is imported by a name from a file: only names that gymnasium has registered for its own environments.
    """
    import gymnasium

    name, kwargs = (making.get("id"), making.get("kwargs")) if isinstance(making, Mapping) else (None, None)
    if not isinstance(name, str) or not isinstance(kwargs, Mapping) or not _is_known(gymnasium.registry.get(name)):
        return None
    return partial(gymnasium.make, name, max_episode_steps=making.get("max_episode_steps"), **kwargs)


def _making(env: Any) -> dict[str, Any] | None:
    spec: Any = getattr(getattr(env, "unwrapped", None), "spec", None)
    if not _is_known(spec):
        return None
    try:
        kwargs = json.loads(json.dumps(spec.kwargs, allow_nan=False))
    except (TypeError, ValueError):
        return None
    return {"id": spec.id, "kwargs": kwargs, "max_episode_steps": spec.max_episode_steps}


def _is_known(spec: Any) -> bool:
    return isinstance(getattr(spec, "entry_point", None), str) and spec.entry_point.startswith(_KNOWN)
