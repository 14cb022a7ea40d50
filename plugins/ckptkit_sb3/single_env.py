"""The state of one environment: by its own protocol or by its attributes, each only after it passed a self-test."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3 import selftest
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder, class_name

_DEFINITION = "env spec metadata _metadata _cached_spec _saved_kwargs _ezpickle_args _ezpickle_kwargs"
_DISPLAY = "render_mode screen clock viewer window window_surface surf mujoco_renderer"
SKIP = frozenset(f"{_DEFINITION} {_DISPLAY} results_writer t_start reset_infos".split())
"""Attributes of environments and wrappers that are definition, display or wall time."""
_PROTOCOLS = (("ckptkit_get_state", "ckptkit_set_state"), ("get_state", "set_state"))


def missing(reason: str) -> dict[str, Any]:
    """Return the description of an environment whose state is not captured."""
    return {"strategy": "none", "grade": "not-captured", "reason": reason}


def levels_of(env: Any) -> list[Any]:
    """Return the environment itself and the wrappers around it, outermost last."""
    found = []
    while env is not None:
        found.append(env)
        env = vars(env).get("env")
    return found[::-1]


def take(env: Any, arrays: dict[str, Any], prefix: str, fresh_env: Callable[[], Any] | None = None) -> dict[str, Any]:
    """Return the description of one environment: the first strategy that can say everything and passes its test."""
    started = time.perf_counter()
    reasons = []
    test = selftest.SelfTest(env, fresh_env)
    for name, strategy in _STRATEGIES.items():
        own: dict[str, Any] = {}
        try:
            state = strategy(env, own, prefix)
            if state is None:
                continue
        except _NotThisWay as error:
            reasons.append(f"{name}: {error}")
            continue
        levels = [class_name(e) for e in levels_of(env)]
        description = {"strategy": name, "levels": levels, "state": state}
        inner = {**description, "levels": levels[: test.depth], "state": state[: test.depth + len(state) - len(levels)]}
        verdict = test.run(_put(inner, own))
        if verdict.differs:
            reasons.append(f"{name}: {verdict.reason}")
            continue
        arrays.update(own)
        grade = "not-captured" if verdict.reason else "exact"
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        return {**description, "grade": grade, "reason": verdict.reason, "milliseconds": milliseconds}
    return missing("; ".join(reasons) or "no way to capture this environment")


def plan(env: Any, description: Mapping[str, Any], arrays: Mapping[str, Any]) -> Callable[[], None]:
    """Check that a description fits the environment; return what puts it back."""
    strategy = description.get("strategy")
    if strategy == "none":
        return lambda: None
    levels = levels_of(env)
    live = [class_name(e) for e in levels]
    if description.get("levels") != live:
        saved = [str(name) for name in description.get("levels") or ()]
        raise BackendError(
            f"the environment is {' < '.join(live)}, the saved one {' < '.join(saved)}",
            hint="build the environment as in the training that was saved",
        )
    if strategy not in ("attributes", "protocol"):
        raise DamagedError(f"environment: unknown strategy {strategy!r}")
    nodes = description.get("state")
    if not isinstance(nodes, list) or len(nodes) != len(levels) + (strategy == "protocol"):
        raise DamagedError("environment: the state does not fit its levels")
    decoder = Decoder(arrays, skip=SKIP)
    if strategy == "attributes":
        for i, (level, node) in enumerate(zip(levels, nodes, strict=True)):
            decoder.attributes(node, level, f"env[{i}]")
        return decoder.apply
    return _plan_protocol(levels, nodes, decoder)


def _put(description: Mapping[str, Any], arrays: Mapping[str, Any]) -> Callable[[Any], None]:
    return lambda fresh: plan(fresh, description, arrays)()


class _NotThisWay(Exception):
    """A strategy cannot say everything."""


def _attributes(env: Any, arrays: dict[str, Any], prefix: str) -> list[Any]:
    encoder = Encoder(arrays, prefix, skip=SKIP)
    nodes = [encoder.attributes(level, class_name(level).rpartition(".")[2]) for level in levels_of(env)]
    if encoder.left_out:
        raise _NotThisWay(f"cannot say {', '.join(encoder.left_out)}")
    return nodes


def _protocol(env: Any, arrays: dict[str, Any], prefix: str) -> list[Any] | None:
    inner, *wrappers = levels_of(env)
    names = _protocol_of(inner)
    if names is None:
        return None
    encoder = Encoder(arrays, prefix, skip=SKIP)
    nodes: list[Any] = [encoder.encode(inner.__dict__.get("_np_random"), "np_random")]
    nodes.append(encoder.encode(getattr(inner, names[0])(), names[0]))
    nodes += [encoder.attributes(level, class_name(level).rpartition(".")[2]) for level in wrappers]
    if encoder.left_out:
        raise _NotThisWay(f"cannot say {', '.join(encoder.left_out)}")
    return nodes


def _plan_protocol(levels: list[Any], nodes: list[Any], decoder: Decoder) -> Callable[[], None]:
    inner, *wrappers = levels
    rng_node, state_node, *wrapper_nodes = nodes
    names = _protocol_of(inner)
    if names is None:
        raise BackendError(f"{class_name(inner)} has no get_state and set_state any more")
    rng = decoder.decode(rng_node, None, "np_random")
    state = decoder.decode(state_node, None, names[0])
    for i, (level, node) in enumerate(zip(wrappers, wrapper_nodes, strict=True)):
        decoder.attributes(node, level, f"env[{i + 1}]")

    def put() -> None:
        decoder.apply()
        getattr(inner, names[1])(state)
        inner.__dict__["_np_random"] = rng

    return put


def _protocol_of(inner: Any) -> tuple[str, str] | None:
    for names in _PROTOCOLS:
        if all(callable(getattr(inner, n, None)) for n in names):
            return names
    return None


_STRATEGIES: dict[str, Callable[[Any, dict[str, Any], str], list[Any] | None]] = {
    "protocol": _protocol,
    "attributes": _attributes,
}
