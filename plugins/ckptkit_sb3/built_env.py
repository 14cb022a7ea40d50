"""The environment of an agent that is built anew: as many, monitored and normalized as the saved agent's were."""

from collections.abc import Callable, Mapping
from typing import Any

from ckptkit_sb3.encoding import class_name, is_kind
from ckptkit_sb3.levels import MONITOR
from ckptkit_sb3.vec_wrappers import wrappers_of

_VEC_ENVS = "stable_baselines3.common.vec_env"
_NORMALIZE = f"{_VEC_ENVS}.vec_normalize.VecNormalize"
_TRANSPOSE = f"{_VEC_ENVS}.vec_transpose.VecTransposeImage"


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
