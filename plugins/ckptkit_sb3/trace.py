"""What an environment does next, as a digest: fixed actions, resets where episodes end, one more reset."""

import copy
import hashlib
import random
import sys
import time
from collections.abc import Mapping
from typing import Any

from ckptkit_sb3.names import class_name

STEPS = 24
SECONDS = 1.0
"""After this long a slow environment is asked for fewer steps."""
_SEED = 20240


def trace(env: Any, *, steps: int = STEPS, seconds: float | None = None) -> str:
    """Return ``steps:digest`` of what an environment does; the global generators begin at a seed of their own.

    They are saved beside the environment; here only what the environment itself would draw from them counts.

    Args:
        env: the environment; it is stepped.
        steps: how many steps to take before the last reset.
        seconds: take fewer when they last longer than this.
    """
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    space = copy.deepcopy(env.action_space)
    space.seed(0)
    _seed_globals()
    hasher = hashlib.sha256()
    done = 0
    while done < steps and time.monotonic() < deadline:
        step(env, space.sample(), hasher, first=done == 0)
        done += 1
    reset(env, hasher)
    step(env, space.sample(), hasher, first=False)
    return f"{done}:{hasher.hexdigest()}"


def step(env: Any, action: Any, hasher: Any, *, first: bool) -> None:
    """Take a step and feed what came back to a digest; what the environment raises is part of it."""
    try:
        observation, reward, terminated, truncated, _ = env.step(action)
        feed(hasher, [observation, float(reward), bool(terminated), bool(truncated)])
        if terminated or truncated:
            feed(hasher, env.reset()[0])
    except Exception as error:  # a stranger's; both must raise it
        feed(hasher, class_name(error))
        if first:  # before its first reset, which will come with a seed
            feed(hasher, env.reset(seed=0)[0])


def reset(env: Any, hasher: Any) -> None:
    """Reset, and feed the observation to a digest."""
    try:
        feed(hasher, env.reset()[0])
    except Exception as error:  # a stranger's; both must raise it
        feed(hasher, class_name(error))


def feed(hasher: Any, value: Any) -> None:
    """Feed a nested observation to a digest, with shapes and types."""
    import numpy as np

    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            feed(hasher, str(key))
            feed(hasher, value[key])
    elif isinstance(value, (list, tuple)):
        for part in value:
            feed(hasher, part)
    elif isinstance(value, str) or value is None:
        hasher.update(repr(value).encode())
    else:
        array = np.asarray(value)
        hasher.update(f"{array.dtype.str}{array.shape}".encode())
        hasher.update(array.tobytes())


def _seed_globals() -> None:
    import numpy as np

    random.seed(_SEED)
    np.random.seed(_SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(_SEED)
