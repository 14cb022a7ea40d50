"""What an agent is: what must be equal for a state to fit it, and the arguments that it was built with."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from ckptkit_sb3.names import class_name, is_scalar

ALGORITHM = "stable_baselines3.common.base_class.BaseAlgorithm"
"""The class from which all algorithms of SB3 descend."""


def describe_agent(model: Any) -> dict[str, Any]:
    """Return what must be equal for a state to fit: classes, spaces, number of environments."""
    return {
        "algorithm": class_name(model),
        "policy": class_name(model.policy),
        "observation_space": space_text(model.observation_space),
        "action_space": space_text(model.action_space),
        "n_envs": model.n_envs,
    }


def space_text(space: Any) -> str:
    """Return a text that is equal for equal spaces: the repr, and a digest of all bounds."""
    import hashlib

    import numpy as np

    hasher = hashlib.sha256()
    stack = [space]
    while stack:
        part = stack.pop()
        for name in ("low", "high", "nvec", "n", "start"):
            if hasattr(part, name):
                hasher.update(name.encode() + np.asarray(getattr(part, name)).tobytes())
        inner = getattr(part, "spaces", None) or ()
        stack.extend(inner.values() if isinstance(inner, Mapping) else inner)
    return f"{space!r} #{hasher.hexdigest()[:12]}"


def configuration_of(model: Any) -> dict[str, Any]:
    """Return the constructor arguments that are plain JSON values."""
    names = constructor_arguments(model)
    values = {k: v for k, v in vars(model).items() if k in names and not k.startswith("_")}
    return {k: v for k, v in sorted(values.items()) if is_scalar(v)}


def constructor_arguments(model: Any) -> frozenset[str]:
    """Return the names of the constructor's arguments: they are the user's, not state."""
    kind: Any = type(model)
    return _arguments_of(kind)


@functools.cache
def _arguments_of(kind: Any) -> frozenset[str]:
    names: set[str] = set()
    for base in kind.__mro__[:-1]:
        if "__init__" in vars(base):
            names.update(inspect.signature(vars(base)["__init__"]).parameters)
    return frozenset(names | {f"_{n}" for n in names})
