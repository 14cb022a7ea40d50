"""The state of the environments inside a vector environment: taken, tested, put back, one by one.

Each environment yields one JSON description. Environments in other processes answer through the methods
``ckptkit_take`` and ``ckptkit_put`` of the wrapper that ``checkpointable`` puts around their factory.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ckptkit.errors import BackendError, CkptkitError, DamagedError
from ckptkit_sb3 import single_env
from ckptkit_sb3.selftest import Futures

_NO_WRAPPER = "the environments live in other processes: wrap their factory with ckptkit_sb3.checkpointable"


def take(
    env: Any,
    arrays: dict[str, Any],
    fresh_env: Callable[[], Any] | None = None,
    barrier: int | None = None,
    *,
    tested: bool = True,
) -> list[dict[str, Any]]:
    """Return one description per environment; its large arrays go into ``arrays`` under ``env<i>/``.

    Args:
        env: the vector environment.
        arrays: where large arrays are put.
        fresh_env: builds one more environment, for the self-test.
        barrier: the seed of environment 0 (the next has the next), if all were reset with one just now.
        tested: whether each state has to pass its self-test.
    """
    seeds = [None if barrier is None else barrier + i for i in range(0 if env is None else env.num_envs)]
    base = _base(env)
    if base is None:
        return []
    if hasattr(base, "envs"):
        futures = Futures(base.envs)
        return [
            single_env.take(e, arrays, f"env{i}/", futures, fresh_env, seeds[i], tested=tested)
            for i, e in enumerate(base.envs)
        ]
    if not base.has_attr("ckptkit_take"):
        return [single_env.missing(_NO_WRAPPER)] * base.num_envs
    described = []
    for i in range(base.num_envs):
        [(description, found)] = base.env_method("ckptkit_take", f"env{i}/", seeds[i], tested, indices=[i])
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
    base = _base(env)
    count = 0 if base is None else base.num_envs
    if count != len(described):
        raise BackendError(f"{count} environments here, {len(described)} in the checkpoint")
    if base is None:
        return lambda: None
    if hasattr(base, "envs"):
        puts = [single_env.plan(e, d, arrays) for e, d in zip(base.envs, described, strict=True)]
        return partial(_all, puts)
    wanted = [i for i, d in enumerate(described) if d.get("strategy") != "none"]
    if wanted and not base.has_attr("ckptkit_put"):
        raise BackendError(_NO_WRAPPER)

    def put_all() -> None:
        for i in wanted:
            own = {k: v for k, v in arrays.items() if k.startswith(f"env{i}/")}
            [failure] = base.env_method("ckptkit_put", described[i], own, indices=[i])
            if failure is not None:
                raise BackendError(f"environment {i}: {failure}")

    return put_all


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


def _all(puts: list[Callable[[], None]]) -> None:
    for put in puts:
        put()


def _base(env: Any) -> Any:
    while env is not None and vars(env).get("venv") is not None:
        env = env.venv
    return env
