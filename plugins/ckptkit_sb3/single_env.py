"""The state of one environment: the first way that can say all of it and passes its self-test.

``protocol``: its own ``get_state`` and ``set_state``. ``mujoco``, ``ale``: what these libraries can tell.
``attributes``: the ``vars()`` of the environment and of each wrapper, if nothing in them had to be left out.
``replay``: the actions since the last reset with a seed (``checkpointable(..., replay=True)``).
``barrier``: nothing, because it was reset with a seed just before the save.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3 import known_envs, selftest
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder, class_name

_DEFINITION = "env spec metadata _metadata _cached_spec _saved_kwargs _ezpickle_args _ezpickle_kwargs ckptkit_factory"
_DISPLAY = "render_mode screen clock viewer window window_surface surf mujoco_renderer"
SKIP = frozenset(f"{_DEFINITION} {_DISPLAY} results_writer t_start reset_infos".split())
"""Attributes of environments and wrappers that are definition, display or wall time."""
_PROTOCOLS = (("ckptkit_get_state", "ckptkit_set_state"), ("get_state", "set_state"))
_BARRIER = "it was reset with a new seed for the save, so the run differs from one without checkpoints"
_REPLAY_HELP = "ckptkit_sb3.checkpointable(factory, replay=True) brings such environments back"

Own = tuple[Any, int]
"""What a strategy says itself, and from which level on attributes are needed beside it."""
Strategy = Callable[[Any], list[Own]]
"""Returns the candidates for the state of an environment, of which the self-test picks one; none where it cannot."""


def missing(reason: str) -> dict[str, Any]:
    """Return the description of an environment whose state is not captured."""
    return {"strategy": "none", "grade": "partial", "reason": reason}


def levels_of(env: Any) -> list[Any]:
    """Return the environment itself and the wrappers around it, outermost last."""
    found = []
    while env is not None:
        found.append(env)
        env = vars(env).get("env")
    return found[::-1]


def take(
    env: Any,
    arrays: dict[str, Any],
    prefix: str,
    futures: selftest.Futures,
    fresh_env: Callable[[], Any] | None = None,
    barrier: int | None = None,
    *,
    tested: bool = True,
) -> dict[str, Any]:
    """Return the description of one environment: the first strategy that can say everything and passes its test.

    Args:
        env: the live environment; it is not changed.
        arrays: where large arrays are put.
        prefix: start of their names.
        futures: knows what the environment would do next, for the test.
        fresh_env: builds another one of the same definition.
        barrier: the seed with which it was reset just now, if it was.
        tested: whether to test; without, the first strategy that can say everything is taken.
    """
    reasons: dict[str, str] = {}
    test = selftest.SelfTest(env, futures, fresh_env)
    strategies = _STRATEGIES if barrier is None else {"barrier": lambda env: [({"seed": barrier}, len(levels_of(env)))]}
    for name, found in ((name, own) for name, strategy in strategies.items() for own in strategy(env)):
        own_arrays: dict[str, Any] = {}
        description, left_out = _describe(name, found, env, own_arrays, prefix)
        if left_out:
            reasons[name] = f"{name}: cannot say {', '.join(left_out)}"
            continue
        verdict = test.run(_put(_first_levels(description, test.depth), own_arrays)) if tested else selftest.Result()
        if verdict.differs:
            reasons[name] = f"{name}: {verdict.reason}"
            continue
        arrays.update(own_arrays)
        grade, reason = ("complete", None) if barrier is None else ("complete-with-barrier", _BARRIER)
        if verdict.reason:
            grade, reason = "partial", verdict.reason
        return {**description, "grade": grade, "reason": reason}
    return missing("; ".join([*reasons.values(), _REPLAY_HELP]))


def plan(env: Any, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> Callable[[], None]:
    """Check that a description fits the environment; return what puts it back.

    Raises:
        BackendError: the environment is built of other classes.
        DamagedError: the description is not well formed.
    """
    strategy = str(description.get("strategy"))
    if strategy == "none":
        return lambda: None
    names, nodes = description.get("levels"), description.get("attributes")
    if strategy not in _PUTS or not isinstance(names, list) or not isinstance(nodes, list) or len(nodes) != len(names):
        raise DamagedError(f"environment: not a well-formed description by {strategy[:40]!r}")
    levels = levels_of(env)
    pairs = _pairs(levels, list(zip(map(str, names), nodes, strict=True)))
    decoder = Decoder(arrays, skip=SKIP | known_envs.HIDDEN.get(strategy, frozenset()))
    own = decoder.decode(description.get("own"), None, "environment")
    for i, (level, node) in enumerate(pairs):
        if node is not None:
            decoder.attributes(node, level, f"env[{i}]")

    def put() -> None:
        try:
            _PUTS[strategy](levels, own)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise BackendError(f"the environment does not take its state back: {error}") from error
        decoder.apply()  # after its own way, which may have stepped through the wrappers

    return put


def _pairs(levels: list[Any], saved: list[tuple[str, Any]]) -> list[tuple[Any, Any]]:
    """Match live levels with saved nodes; SB3's Monitor, which only keeps statistics, may be there or not."""
    live = [(class_name(level), level) for level in levels]
    monitors = [len([n for n, _ in side if n == selftest.MONITOR]) for side in (live, saved)]
    if monitors[0] != monitors[1]:
        live = [(name, level) for name, level in live if name != selftest.MONITOR]
        saved = [(name, node) for name, node in saved if name != selftest.MONITOR]
    if [name for name, _ in live] != [name for name, _ in saved]:
        raise BackendError(
            f"the environment is {' < '.join(n for n, _ in live)}, the saved one {' < '.join(n for n, _ in saved)}",
            hint="build the environment as in the training that was saved",
        )
    return [(level, node) for (_, level), (_, node) in zip(live, saved, strict=True)]


def _describe(name: str, found: Own, env: Any, arrays: dict[str, Any], prefix: str) -> tuple[dict[str, Any], list[str]]:
    encoder = Encoder(arrays, prefix, skip=SKIP | known_envs.HIDDEN.get(name, frozenset()))
    own, first = found
    levels = levels_of(env)
    names = [class_name(level) for level in levels]
    description = {"strategy": name, "levels": names, "own": encoder.encode(own, name)}
    description["attributes"] = [
        encoder.attributes(level, names[i].rpartition(".")[2]) if i >= first else None for i, level in enumerate(levels)
    ]
    return description, encoder.left_out


def _first_levels(description: Mapping[str, Any], depth: int) -> dict[str, Any]:
    cut = {key: description[key][:depth] for key in ("levels", "attributes")}
    return {**description, **cut}


def _put(description: Mapping[str, Any], arrays: Mapping[str, Any]) -> Callable[[Any], None]:
    return lambda fresh: plan(fresh, description, arrays)()


def _protocol(env: Any) -> list[Own]:
    inner = levels_of(env)[0]
    names = _protocol_of(inner)
    if names is None:
        return []
    return [({"state": getattr(inner, names[0])(), "np_random": vars(inner).get("_np_random")}, 1)]


def _put_protocol(levels: list[Any], own: Any) -> None:
    inner = levels[0]
    names = _protocol_of(inner)
    if names is None:
        raise BackendError(f"{class_name(inner)} has no get_state and set_state any more")
    getattr(inner, names[1])(own["state"])
    inner.__dict__["_np_random"] = own["np_random"]


def _protocol_of(inner: Any) -> tuple[str, str] | None:
    for names in _PROTOCOLS:
        if all(callable(getattr(inner, n, None)) for n in names):
            return names
    return None


def _mujoco(env: Any) -> list[Own]:
    own = known_envs.take_mujoco(levels_of(env)[0])
    return [] if own is None else [(own, 0)]


def _ale(env: Any) -> list[Own]:
    return [(own, 0) for own in known_envs.take_ale(levels_of(env)[0])]


def _attributes(env: Any) -> list[Own]:
    return [(None, 0)]


def _replay(env: Any) -> list[Own]:
    import numpy as np

    for i, level in enumerate(levels_of(env)):
        log = vars(level).get("ckptkit_log")
        if log is not None:
            actions = [a for a in log if a is not None]
            stacked = np.stack(actions) if actions else None
            resets = [k for k, a in enumerate(log) if a is None]
            own = {"seed": level.ckptkit_seed, "actions": stacked, "resets": resets, "length": len(log)}
            return [(own, i + 1)]
    return []


def _put_replay(levels: list[Any], own: Any) -> None:
    wrapper = next(level for level in levels if "ckptkit_log" in vars(level))
    resets = set(own["resets"])
    actions = iter(own["actions"] if own["actions"] is not None else ())
    wrapper.ckptkit_replay(own["seed"], [None if k in resets else next(actions) for k in range(own["length"])])


_STRATEGIES: dict[str, Strategy] = {
    "protocol": _protocol,
    "mujoco": _mujoco,
    "ale": _ale,
    "attributes": _attributes,
    "replay": _replay,
}
_PUTS: dict[str, Callable[[list[Any], Any], Any]] = {
    "protocol": _put_protocol,
    "mujoco": lambda levels, own: known_envs.put_mujoco(levels[0], own),
    "ale": lambda levels, own: known_envs.put_ale(levels[0], own),
    "attributes": lambda levels, own: None,
    "replay": _put_replay,
    "barrier": lambda levels, own: levels[-1].reset(seed=own["seed"]),
}
