"""The state of one environment: the first way that can say all of it and that the self-test found right.

``protocol``: its own ``get_state`` and ``set_state``. ``mujoco``, ``ale``: what these libraries can tell.
``attributes``: the ``vars()`` of the environment and of each wrapper, if nothing in them had to be left out.
``replay``: the actions since the last reset with a seed (``checkpointable(..., replay=True)``).
``barrier``: nothing, because it was reset with a seed just before the save.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3 import known_envs, objects, shared_state
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.definition import SelfTestResult
from ckptkit_sb3.encoding import Encoder
from ckptkit_sb3.levels import MONITOR, levels_of, names_of
from ckptkit_sb3.names import class_name

_PROTOCOLS = (("ckptkit_get_state", "ckptkit_set_state"), ("get_state", "set_state"))
_BARRIER = "it was reset with a new seed for the save, so the run differs from one without checkpoints"

Own = tuple[Any, int]
"""What a strategy says itself, and from which level on attributes are needed beside it."""
Strategy = Callable[[Any], Own | None]
"""Returns the state of an environment, None where it is not of its kind."""


def missing(reasons: Sequence[str]) -> dict[str, Any]:
    """Return the description of an environment whose state is not captured."""
    return {"strategy": "none", "grade": "partial", "reasons": list(reasons)}


def take(
    env: Any, arrays: dict[str, Any], prefix: str, verdict: SelfTestResult | None = None, barrier: int | None = None
) -> dict[str, Any]:
    """Return the description of one environment: the first way that can say everything and was not found wrong.

    Args:
        env: the live environment; it is only read.
        arrays: where large arrays are put.
        prefix: start of their names.
        verdict: of the self-test of its kind; without one, the first way that can say everything is taken.
        barrier: the seed with which it was reset just now, if it was.
    """
    reasons: list[str] = []
    wrong: list[str] = []
    for name, own in _candidates(env, barrier):
        against = verdict.against(name) if verdict else None
        if against is not None:
            wrong.append(name)
            reasons.append(f"{name}: {against}")
            continue
        own_arrays: dict[str, Any] = {}
        description, left_out = _describe(name, own, env, own_arrays, prefix, verdict.outside if verdict else ())
        if left_out:
            reasons += [f"{name}: cannot save {what}" for what in left_out]
            continue
        arrays.update(own_arrays)
        if verdict is None:
            return description
        grade, why = ("complete", []) if barrier is None else ("complete-with-barrier", [_BARRIER])
        return {**description, "grade": grade, "reasons": why, "tested": verdict.tested(name), "wrong": wrong}
    return missing(reasons)


def take_all(
    env: Any, outside: Sequence[shared_state.Name], barrier: int | None
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the description and the arrays of every way that can say all of an environment."""
    found = []
    for name, own in _candidates(env, barrier):
        arrays: dict[str, Any] = {}
        description, left_out = _describe(name, own, env, arrays, "", outside)
        if not left_out:
            found.append((description, arrays))
    return found


def _candidates(env: Any, barrier: int | None) -> Iterator[tuple[str, Own]]:
    if barrier is not None:
        yield "barrier", ({"seed": barrier}, len(levels_of(env)))
        return
    for name, strategy in _STRATEGIES.items():
        own = strategy(env)
        if own is not None:
            yield name, own


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
    slots = description.get("slots") or [{}] * len(nodes)
    pairs = _pairs(levels, [(str(n), (a, s)) for n, a, s in zip(names, nodes, slots, strict=True)])
    hidden = known_envs.HIDDEN.get(strategy, frozenset())
    decoder = Decoder(arrays, skip=hidden, classes=shared_state.classes_of(env))
    own = decoder.decode(description.get("own"), None, "environment")
    for i, (level, (node, held)) in enumerate(pairs):
        if node is not None:
            decoder.attributes(node, level, f"env[{i}]")
            olds = objects.slots_of(level)
            values = {k: decoder.decode(v, olds.get(k), f"env[{i}].{k}") for k, v in sorted(held.items())}
            decoder.later(partial(objects.put_slots, level, values))
    outside = description.get("outside", {})
    if not isinstance(outside, dict):
        raise DamagedError("environment: what is outside of it is not a table")
    places = shared_state.places(env, outside)
    here = shared_state.values(env, [(owner, name) for owner, names in places.items() for name in names])
    around = {
        owner: {n: decoder.decode(outside[owner][n], here.get(owner, {}).get(n), f"{owner}.{n}") for n in names}
        for owner, names in places.items()
    }
    decoder.later(partial(shared_state.put, env, around))

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
    monitors = [len([n for n, _ in side if n == MONITOR]) for side in (live, saved)]
    if monitors[0] != monitors[1]:
        live = [(name, level) for name, level in live if name != MONITOR]
        saved = [(name, node) for name, node in saved if name != MONITOR]
    if [name for name, _ in live] != [name for name, _ in saved]:
        raise BackendError(
            f"the environment is {' < '.join(n for n, _ in live)}, the saved one {' < '.join(n for n, _ in saved)}",
            hint="build the environment as in the training that was saved",
        )
    return [(level, node) for (_, level), (_, node) in zip(live, saved, strict=True)]


def _describe(
    name: str, found: Own, env: Any, arrays: dict[str, Any], prefix: str, outside: Sequence[shared_state.Name]
) -> tuple[dict[str, Any], list[str]]:
    encoder = Encoder(arrays, prefix, skip=known_envs.HIDDEN.get(name, frozenset()))
    own, first = found
    levels = levels_of(env)
    names = names_of(env)
    description: dict[str, Any] = {"strategy": name, "levels": names, "own": encoder.encode(own, name)}
    description["attributes"] = [
        encoder.attributes(level, names[i].rpartition(".")[2]) if i >= first else None for i, level in enumerate(levels)
    ]
    description["slots"] = [
        {k: encoder.encode(v, f"{names[i]}.{k}") for k, v in sorted(objects.slots_of(level).items())}
        if i >= first
        else {}
        for i, level in enumerate(levels)
    ]
    description["outside"] = {
        owner: {key: encoder.encode(value, f"{owner.partition(':')[2]}.{key}") for key, value in named.items()}
        for owner, named in shared_state.values(env, outside).items()
    }
    return description, encoder.left_out


def _protocol(env: Any) -> Own | None:
    inner = levels_of(env)[0]
    names = _protocol_of(inner)
    if names is None:
        return None
    return {"state": getattr(inner, names[0])(), "np_random": vars(inner).get("_np_random")}, 1


def _put_protocol(levels: list[Any], own: Any) -> None:
    inner = levels[0]
    names = _protocol_of(inner)
    if names is None:
        raise BackendError(f"{class_name(inner)} no longer has get_state and set_state")
    getattr(inner, names[1])(own["state"])
    inner.__dict__["_np_random"] = own["np_random"]


def _protocol_of(inner: Any) -> tuple[str, str] | None:
    for names in _PROTOCOLS:
        if all(callable(getattr(inner, n, None)) for n in names):
            return names
    return None


def _mujoco(env: Any) -> Own | None:
    own = known_envs.take_mujoco(levels_of(env)[0])
    return None if own is None else (own, 0)


def _ale(env: Any) -> Own | None:
    own = known_envs.take_ale(levels_of(env)[0])
    return None if own is None else (own, 0)


def _attributes(env: Any) -> Own | None:
    return None, 0


def _replay(env: Any) -> Own | None:
    import numpy as np

    for i, level in enumerate(levels_of(env)):
        log = vars(level).get("ckptkit_log")
        if log is not None:
            actions = [a for a in log if a is not None]
            stacked = np.stack(actions) if actions else None
            resets = [k for k, a in enumerate(log) if a is None]
            return {"seed": level.ckptkit_seed, "actions": stacked, "resets": resets, "length": len(log)}, i + 1
    return None


def _put_replay(levels: list[Any], own: Any) -> None:
    wrapper = next(level for level in levels if "ckptkit_log" in vars(level))
    resets = set(own["resets"])
    actions = iter(own["actions"] if own["actions"] is not None else ())
    wrapper.reset(seed=own["seed"])
    for k in range(own["length"]):
        if k in resets:
            wrapper.reset()
        else:
            wrapper.step(next(actions)[()])


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
