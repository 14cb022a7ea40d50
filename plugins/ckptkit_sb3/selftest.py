"""The self-test of captured states, in a process that shares nothing with the training: ``trials`` starts it.

An environment is built from its definition and plays a while; each way of capturing it is put into a second one, in
another process, and both must go on alike. It tells of a *kind* of environment whether its state can be captured, not
of one live environment, which is never stepped, copied or even asked.
"""

import copy
import hashlib
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ckptkit.errors import CkptkitError
from ckptkit_sb3 import shared_state, single_env
from ckptkit_sb3.definition import Definition, SelfTestResult, Way
from ckptkit_sb3.forked import in_a_fork
from ckptkit_sb3.levels import names_of, without_monitor
from ckptkit_sb3.trace import SECONDS, reset, step, trace

TIMEOUT = 60
_PATIENCE = 20.0
_PLAYED = (9, 5)  # steps before and after a reset without a seed
_BARRIER = 77
_DIFFERENT = "a fresh environment with this state goes on differently"


@dataclass(frozen=True, slots=True)
class Request:
    """What the training process asks: judge this kind of environment, reset with a seed just before (or not)."""

    definition: Definition
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class _Played:
    taken: list[tuple[dict[str, Any], dict[str, Any]]]
    trace: str
    outside: list[shared_state.Name] = field(default_factory=list)


class _Failed(str):
    """Why there is no answer."""


def judge(request: Request) -> SelfTestResult:
    """Return which ways of capturing an environment of this kind are right."""
    why = ""
    for way, data in request.definition.ways:
        build = partial(_built, way, data, request.definition.names)
        answer = _asked(partial(_play, build, request.barrier))
        if isinstance(answer, _Played):
            found = {description["strategy"]: _compare(build, description, arrays, answer.trace)
                     for description, arrays in answer.taken}  # fmt: skip
            return SelfTestResult(found, answer.outside)
        why = f" ({answer})"
    return SelfTestResult(untested=f'another process cannot build one{why}; give factories={{"env": ...}}')


def _built(way: Way, data: bytes, names: Sequence[str]) -> Any:
    made = pickle.loads(data)  # from the process that started this one
    if way == "factory":
        made = made()
        made = getattr(made, "envs", [made])[0]
    elif way == "spec":
        import gymnasium

        made = gymnasium.make(made)
    made = without_monitor(made)
    if names_of(made) != list(names):
        raise ValueError(f"the {way} builds {' < '.join(names_of(made))}, not {' < '.join(names)}")
    return made


def _play(build: Callable[[], Any], barrier: bool) -> _Played:
    env = build()
    before = shared_state.snapshot(env)
    space, deadline = copy.deepcopy(env.action_space), time.monotonic() + SECONDS
    space.seed(3)
    ignored = hashlib.sha256()
    env.reset(seed=1)
    for count in _PLAYED:
        for _ in range(count):
            if time.monotonic() < deadline:
                step(env, space.sample(), ignored, first=False)
        reset(env, ignored) if count is _PLAYED[0] else None
    after = shared_state.snapshot(env)
    outside = sorted(name for name in after if after[name] != before.get(name))
    if barrier:
        env.reset(seed=_BARRIER)
    taken = single_env.take_all(env, outside, _BARRIER if barrier else None)
    return _Played(taken, trace(env, seconds=SECONDS), outside)


def _compare(build: Callable[[], Any], description: dict[str, Any], arrays: dict[str, Any], future: str) -> str | None:
    def again() -> str:
        fresh = build()
        try:
            single_env.plan(fresh, description, arrays)()
        except CkptkitError as error:
            return _Failed(error.message)
        return trace(fresh, steps=int(future.partition(":")[0]))

    found = _asked(again)
    if found == future:
        return None
    return str(found) if isinstance(found, _Failed) else _DIFFERENT


def _asked(ask: Callable[[], Any]) -> Any:
    """Return the answer of a process of its own: what one trial leaves in classes or modules must not help another."""

    def answered() -> bytes:
        try:
            return pickle.dumps(ask())
        except BaseException as error:  # a stranger's; the reason of the verdict
            return pickle.dumps(_Failed(f"{type(error).__name__}: {error}".splitlines()[0]))

    if not hasattr(os, "fork"):
        return pickle.loads(answered())
    data = in_a_fork(answered, _PATIENCE)
    return _Failed(f"no answer in {_PATIENCE:g} seconds") if data is None else pickle.loads(data)


def main() -> None:
    """Judge what standard input asks for, and answer on standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # a stranger's environment may print
    os.dup2(quiet, 2)
    if hasattr(os, "nice"):
        os.nice(5)
    if hasattr(signal, "alarm"):
        signal.alarm(TIMEOUT)
    warnings.simplefilter("ignore")
    requested = sys.stdin.buffer.read()
    sys.path[:], data = pickle.loads(requested)
    verdict = judge(pickle.loads(data))
    answers.write(pickle.dumps(verdict))
    answers.flush()
