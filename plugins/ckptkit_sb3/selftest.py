"""The self-test of an environment's captured state: a fresh environment with the state put back must go on alike.

What the live environment *would* do is asked of a forked copy of this process, which steps its copy of it and dies:
the live one is not touched, and nothing that a wrong capture leaves out can be left out of the comparison. (Pickling
or deep-copying an environment instead loses state silently: gymnasium's ``EzPickle`` rebuilds it from its arguments.)
"""

import contextlib
import copy
import hashlib
import io
import os
import select
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckptkit.errors import CkptkitError
from ckptkit_sb3.encoding import class_name

MONITOR = "stable_baselines3.common.monitor.Monitor"
STEPS = 24
SECONDS = 1.0
"""After this long the test of a slow environment ends with fewer steps."""
TIMEOUT = 20.0
_OUTSIDE = (io.IOBase, socket.socket, subprocess.Popen, threading.Thread)


@dataclass(frozen=True, slots=True)
class Result:
    """``differs``: the state is wrong. ``reason`` without ``differs``: it could not be tested, and why."""

    differs: bool = False
    reason: str | None = None


class SelfTest:
    """Compares a captured state with the future of one live environment.

    Args:
        env: the live environment; it is not changed.
        futures: knows what it would do next.
        fresh_env: builds another one of the same definition; without it the environment's own ``spec`` is used.

    Attributes:
        depth: how many levels (the environment and wrappers, innermost first) take part: SB3's Monitor does not.
    """

    def __init__(self, env: Any, futures: "Futures", fresh_env: Callable[[], Any] | None = None) -> None:
        self._env = without_monitor(env)
        self._futures = futures
        self._fresh_env = fresh_env
        self.depth = _depth(self._env)

    def run(self, put: Callable[[Any], None]) -> Result:
        """Build a fresh environment, put the state into it, and compare what both do next.

        Args:
            put: puts the captured state into the environment it is given.
        """
        reason = untouchable(self._env)
        if reason:
            return Result(reason=f"not tested: {reason}")
        fresh = self._fresh()
        if fresh is None:
            return Result(reason='not tested: no fresh environment can be built; give factories={"env": ...}')
        try:
            put(fresh)
        except CkptkitError as error:
            _close(fresh)
            return Result(differs=True, reason=error.message)
        future = self._futures.of(self._env)
        if future is None:
            _close(fresh)
            return Result(reason="not tested: the environment did not answer in a forked process")
        found = trace(fresh, steps=int(future.partition(":")[0]))
        _close(fresh)
        if found != future:
            return Result(differs=True, reason="a fresh environment with this state goes on differently")
        return Result()

    def _fresh(self) -> Any:
        import gymnasium

        if "ckptkit_factory" in vars(self._env):
            return self._env.ckptkit_factory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(Exception):  # any of a stranger's environment: then there is no fresh one
                made = gymnasium.make(self._env.spec)
                if _names(made) == _names(self._env):
                    return made
                _close(made)
            if self._fresh_env is not None:
                made = self._fresh_env()
                return without_monitor(getattr(made, "envs", [made])[0])
        return None


class Futures:
    """What live environments would do next, asked of one forked copy of the process for all of them.

    Args:
        envs: the live environments; they are not changed.
    """

    def __init__(self, envs: Sequence[Any]) -> None:
        self._envs = [without_monitor(env) for env in envs]
        self._traces: dict[int, str] | None = None

    def of(self, env: Any) -> str | None:
        """Return the trace of one of the environments, or None when the copy did not answer in time."""
        if self._traces is None:
            asked = [e for e in self._envs if untouchable(e) is None]
            answer = _in_a_fork(lambda: " ".join(trace(e, seconds=SECONDS) for e in asked)) or ""
            self._traces = dict(zip(map(id, asked), answer.split(), strict=False))
        return self._traces.get(id(env))


def without_monitor(env: Any) -> Any:
    """Return the environment inside SB3's Monitor, which keeps statistics but has no part in the dynamics."""
    while class_name(env) == MONITOR:
        env = env.env
    return env


def trace(env: Any, *, steps: int = STEPS, seconds: float | None = None) -> str:
    """Return ``steps:digest`` of what an environment does: fixed actions, resets where episodes end, one more reset.

    Args:
        env: the environment; it is stepped.
        steps: how many steps to take before the last reset.
        seconds: take fewer when they last longer than this.
    """
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    space = copy.deepcopy(env.action_space)
    space.seed(0)
    hasher = hashlib.sha256()
    done = 0
    while done < steps and time.monotonic() < deadline:
        _step(env, space.sample(), hasher, first=done == 0)
        done += 1
    try:
        feed(hasher, env.reset()[0])
    except Exception as error:  # a stranger's; both must raise it
        feed(hasher, class_name(error))
    _step(env, space.sample(), hasher, first=False)
    return f"{done}:{hasher.hexdigest()}"


def _step(env: Any, action: Any, hasher: Any, *, first: bool) -> None:
    try:
        observation, reward, terminated, truncated, _ = env.step(action)
        feed(hasher, [observation, float(reward), bool(terminated), bool(truncated)])
        if terminated or truncated:
            feed(hasher, env.reset()[0])
    except Exception as error:  # a stranger's; both must raise it
        feed(hasher, class_name(error))
        if first:  # before its first reset, which will come with a seed
            feed(hasher, env.reset(seed=0)[0])


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


def _in_a_fork(ask: Callable[[], str]) -> str | None:
    if not hasattr(os, "fork"):
        return None
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the child runs one thread, steps an environment, and exits without clean-up
        child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            os.write(writer, ask().encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        return b"".join(_read(reader)).decode() or None
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read(reader: int) -> Iterator[bytes]:
    deadline = time.monotonic() + TIMEOUT
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(reader, 4096)
        if not data:
            return
        yield data


def untouchable(env: Any) -> str | None:
    """Return why stepping even a copy of an environment could disturb the live one."""
    if getattr(env, "render_mode", None) == "human":
        return "it renders to a screen"
    seen: set[int] = set()
    values = [env]
    while values and len(seen) < 2000:
        value = values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _OUTSIDE) or class_name(value).startswith("multiprocessing.connection."):
            return f"it holds a {class_name(value)}, which a copy of it would share"
        if isinstance(value, Mapping):
            values.extend(value.values())
        elif isinstance(value, (list, tuple)):
            values.extend(value[:100])
        elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
            values.extend(vars(value).values())
    return None


def _depth(env: Any) -> int:
    return len(_names(env))


def _names(env: Any) -> list[str]:
    found = []
    while env is not None:
        found.append(class_name(env))
        env = vars(env).get("env")
    return found


def _close(env: Any) -> None:
    with contextlib.suppress(Exception):  # a stranger's close must not fail a save
        env.close()
