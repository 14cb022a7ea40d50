"""An environment and the wrappers around it, from the inside out; a vector environment and its own, outermost first."""

from typing import Any

from ckptkit_sb3.names import class_name

MONITOR = "stable_baselines3.common.monitor.Monitor"
"""SB3's wrapper that keeps statistics: it has no part in the dynamics, and may be there or not."""


def levels_of(env: Any) -> list[Any]:
    """Return the environment itself and the wrappers around it, outermost last."""
    found = []
    while env is not None:
        found.append(env)
        env = vars(env).get("env")
    return found[::-1]


def names_of(env: Any) -> list[str]:
    """Return the full names of the classes of all levels."""
    return [class_name(level) for level in levels_of(env)]


def without_monitor(env: Any) -> Any:
    """Return the environment inside SB3's Monitor."""
    while class_name(env) == MONITOR:
        env = env.env
    return env


def wrappers_of(env: Any) -> list[Any]:
    """Return the vector environment and the ones inside it, outermost first."""
    found = []
    while env is not None:
        found.append(env)
        env = vars(env).get("venv")
    return found


def base_of(env: Any) -> Any:
    """Return the vector environment inside all wrappers; None for None."""
    return wrappers_of(env)[-1] if env is not None else None
