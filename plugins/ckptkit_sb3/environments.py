"""The state of a vector environment: of its wrappers, and of the environments inside, here or in its workers.

Each environment yields one JSON description. Whether its way of being captured is right, the self-test of its kind has
found out in a process of its own (``trials``).
"""

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ckptkit.errors import BackendError, CkptkitError, DamagedError
from ckptkit_sb3 import errands, single_env, trials
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.definition import Definition, SelfTestResult, define
from ckptkit_sb3.encoding import Encoder, members_of
from ckptkit_sb3.levels import base_of, wrappers_of
from ckptkit_sb3.names import class_name

_TRIALS: "weakref.WeakKeyDictionary[Any, dict[tuple[bool, bool], list[trials.Trial | None]]]" = (
    weakref.WeakKeyDictionary()
)


def begin(env: Any, fresh_env: Callable[[], Any] | None = None, *, barrier: bool = False) -> None:
    """Begin the self-tests of all environments, in the background, so that a first save need not wait for them.

    Args:
        env: the vector environment; it is only read.
        fresh_env: builds one more environment, where the environment itself says too little of how it is built.
        barrier: whether they are reset with a seed before each save.
    """
    base = base_of(env)
    if base is not None:
        _trials_of(base, fresh_env, barrier)


def take(
    env: Any,
    arrays: dict[str, Any],
    fresh_env: Callable[[], Any] | None = None,
    barrier: int | None = None,
    *,
    tested: bool = True,
    prefix: str = "",
) -> list[dict[str, Any]]:
    """Return one description per environment; its large arrays go into ``arrays`` under ``<prefix>env<i>/``.

    Args:
        env: the vector environment; it is only read.
        arrays: where large arrays are put.
        fresh_env: builds one more environment, for the self-test.
        barrier: the seed of environment 0 (the next has the next), if all were reset with one just now.
        tested: whether what the self-test found counts (it is waited for).
        prefix: start of the names of the arrays.
    """
    base = base_of(env)
    if base is None:
        return []
    verdicts: list[SelfTestResult | None] = [None] * base.num_envs
    if tested:
        begun = _trials_of(base, fresh_env, barrier is not None)
        verdicts = [SelfTestResult(untested=_NO_ANSWER) if trial is None else trial.verdict() for trial in begun]
    seeds = [None if barrier is None else barrier + i for i in range(base.num_envs)]
    if hasattr(base, "envs"):
        return [
            single_env.take(one, arrays, f"{prefix}env{i}/", verdicts[i], seeds[i]) for i, one in enumerate(base.envs)
        ]  # fmt: skip
    if not errands.reaches(base):
        return [single_env.missing([f"the environments inside a {class_name(base)} cannot be reached"])] * base.num_envs
    described = []
    arguments = {i: (f"{prefix}env{i}/", verdicts[i], seeds[i]) for i in range(base.num_envs)}
    for answer, failure in errands.ask(base, "take", arguments):
        description, found = (single_env.missing([failure]), {}) if failure is not None else answer
        arrays.update(found)
        described.append(description)
    return described


def plan(env: Any, described: Any, arrays: Mapping[str, Any]) -> Callable[[], None]:
    """Check that the descriptions fit the live environments; return what puts them back.

    Raises:
        BackendError: other number of environments, or other wrappers around them.
        DamagedError: a description is not well formed.
    """
    if not isinstance(described, list):
        raise DamagedError("environments: not a list")
    base = base_of(env)
    count = 0 if base is None else base.num_envs
    if count != len(described):
        raise BackendError(f"the number of environments is {count} here, {len(described)} in the checkpoint")
    if base is None:
        return lambda: None
    if hasattr(base, "envs"):
        puts = [single_env.plan(e, d, arrays) for e, d in zip(base.envs, described, strict=True)]
        return partial(_all, puts)
    wanted = {
        i: (d, {name: arrays[name] for name in members_of(d) if name in arrays})
        for i, d in enumerate(described)
        if d.get("strategy") != "none"
    }
    if wanted and not errands.reaches(base):
        raise BackendError(f"the environments inside a {class_name(base)} cannot be reached")

    def put_all() -> None:
        answers = errands.ask(base, "put", wanted)
        for i, (_, failure) in zip(wanted, answers, strict=True):
            if failure is not None:
                raise BackendError(f"environment {i}: {failure}")

    return put_all if wanted else lambda: None


def take_wrappers(encoder: Encoder, env: Any, where: str) -> list[dict[str, Any]]:
    """Return one node for each wrapper around a vector environment, and itself: its class, its attributes."""
    return [
        {"class": class_name(level), "attributes": encoder.attributes(level, f"{where}[{i}]")}
        for i, level in enumerate(wrappers_of(env))
    ]


def plan_wrappers(nodes: Any, env: Any, arrays: Mapping[str, Any], decoder: Decoder, where: str) -> None:
    """Check that nodes fit a vector environment and collect the assignments that put them back.

    Raises:
        BackendError: it is wrapped in another way.
    """
    wrappers = wrappers_of(env)
    saved = [n.get("class") for n in nodes]
    live = [class_name(w) for w in wrappers]
    if saved != live:
        raise BackendError(
            f"the environment is wrapped as {' > '.join(live)}, the saved one as {' > '.join(map(str, saved))}",
            hint="wrap the environment as in the training that was saved (VecNormalize, VecFrameStack, ...)",
        )
    part = Decoder(arrays)
    for i, (node, wrapper) in enumerate(zip(nodes, wrappers, strict=True)):
        part.attributes(node["attributes"], wrapper, f"{where}[{i}]")
    decoder.later(part.apply)


def put_or_roll_back(env: Any, put: Callable[[], None]) -> None:
    """Put states back; where an environment does not take its own, put all of them back as they were before.

    Args:
        env: the vector environment.
        put: what ``plan`` returned for it.

    Raises:
        BackendError: an environment failed; the message says whether all are as they were.
    """
    arrays: dict[str, Any] = {}
    before = take(env, arrays, tested=False)
    try:
        put()
    except Exception as error:  # a stranger's set_state
        message = error.message if isinstance(error, CkptkitError) else f"{type(error).__name__}: {error}"
        lost = [i for i, described in enumerate(before) if described["strategy"] == "none"]
        try:
            plan(env, before, arrays)()
        except Exception:  # the same stranger's
            lost = list(range(len(before)))
        changed = f"; environment {', '.join(map(str, lost))} may be changed" if lost else "; nothing was changed"
        raise BackendError(f"{message}{changed}", hint="repair the environment's set_state") from error


_NO_ANSWER = "the environment's worker did not say how to build another"


def _trials_of(base: Any, fresh_env: Callable[[], Any] | None, barrier: bool) -> list[trials.Trial | None]:
    definitions: list[Definition | None]
    known, which = _TRIALS.setdefault(base, {}), (barrier, fresh_env is not None)
    if which not in known:
        if hasattr(base, "envs"):
            definitions = [define(one) for one in base.envs]
        elif errands.reaches(base):
            definitions = [answer for answer, _ in errands.ask(base, "define", dict.fromkeys(range(base.num_envs), ()))]
        else:
            definitions = [None] * base.num_envs
        known[which] = [
            None if one is None else trials.begin(one.with_factory(fresh_env), barrier=barrier) for one in definitions
        ]
    return known[which]


def _all(puts: list[Callable[[], None]]) -> None:
    for put in puts:
        put()
