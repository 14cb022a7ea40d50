"""State of the other callbacks of a ``learn``: SB3's own and anybody's, with the environments that they evaluate in.

``learn`` tells each callback its local variables when training starts, and with them the root of all callbacks. What is
noted there says later which plain values (``eval_freq``) are still what the program gave; see ``settings``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_sb3 import environments
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder, without_static
from ckptkit_sb3.holders import known_objects, shared_tensors
from ckptkit_sb3.names import class_name, is_kind, is_scalar
from ckptkit_sb3.settings import said

_SB3 = "stable_baselines3.common.callbacks"
_OWN = ("ckptkit_sb3.", "ckptkit_hooks.")
_VEC_ENV = "stable_baselines3.common.vec_env.base_vec_env.VecEnv"
_ENV = "gymnasium.core.Env"


@dataclass(slots=True)
class Watched:
    """The callbacks of the ``learn`` that is running, and their plain values when it began, by where they stand."""

    callbacks: list[Any]
    start: list[dict[str, Any]] = field(default_factory=list)


def watch(model: Any, root: Any, before: Watched | None) -> Watched:
    """Note the callbacks under a root as training starts; once for each ``learn``."""
    found = list(_flat(root))
    if before is not None and list(map(id, before.callbacks)) == list(map(id, found)):
        return before
    return Watched(found, [_said(model, callback, {}, "")[1].scalars for callback in found])


def take(model: Any, watched: Watched | None, arrays: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one node for each callback, and what could not be said.

    Args:
        model: the algorithm.
        watched: what ``watch`` noted; None outside ``learn``, where there are no callbacks.
        arrays: where large arrays are put.
    """
    nodes, left_out = [], []
    if watched is None:
        return [], []
    for i, (callback, start) in enumerate(zip(watched.callbacks, watched.start, strict=True)):
        attributes, encoder = _said(model, callback, arrays, f"callbacks/{i}/")
        kept = [where for where, value in start.items() if _same(encoder.scalars.get(where, _NOTHING), value)]
        nodes.append({"class": class_name(callback), "attributes": attributes, "as_given": sorted(kept)})
        left_out += [f"callback {i}: {text}" for text in encoder.left_out]
    return nodes, left_out


def put_back(
    root: Any, nodes: list[dict[str, Any]], arrays: Mapping[str, Any], kept: dict[tuple[int, str], Any] | None
) -> tuple[list[str], dict[tuple[int, str], Any]]:
    """Put the state of callbacks into those of the same class, in order.

    What has no place in this program's callbacks is told and left out: other callbacks are no other training.

    Args:
        root: SB3's own callback of ``learn``, which holds all others.
        nodes: what ``take`` returned.
        arrays: its large arrays.
        kept: what this returned for the same callbacks before, if it is done again.

    Returns:
        What to tell, and the program's own values that were left, by number of the callback and place.
    """
    live, told = list(_flat(root)), list[str]()
    left: dict[tuple[int, str], Any] = {}
    for i, node in enumerate(nodes):
        callback = next((c for c in live if class_name(c) == node["class"]), None)
        if callback is None:
            told.append(f"callback {i}: there is no {node['class']} here; its state is not put back")
            continue
        live = [c for c in live if c is not callback]
        decoder = Decoder(arrays, kinds={"env": _put_env}, given=partial(_given, i, node["as_given"], kept, left, told))
        name = _short(callback)
        values = {
            key: decoder.attempt(value, vars(callback), key, f"{name}.{key}", told)
            for key, value in sorted(node["attributes"].items())
        }
        decoder.later(partial(vars(callback).update, values))
        try:
            decoder.apply()
        except BackendError as error:  # an environment does not take its state
            told.append(f"{name}: {error.message}; its state is put back in part")
    return told, left


def _flat(root: Any, *, inner: bool = False) -> Iterator[Any]:
    """Yield the callbacks under a root, outermost first, without the root's list, ours, and SB3's progress bar."""
    if class_name(root).startswith(_OWN) or is_kind(root, f"{_SB3}.ProgressBarCallback"):
        return
    listed = is_kind(root, f"{_SB3}.CallbackList")
    if inner or not listed:
        yield root
    for callback in root.callbacks if listed else ():
        yield from _flat(callback, inner=True)


def _said(model: Any, callback: Any, arrays: dict[str, Any], prefix: str) -> tuple[dict[str, Any], Encoder]:
    special = partial(_env, prefix, arrays)
    known, shared = known_objects(model), shared_tensors(model)
    encoder = Encoder(arrays, prefix, shared=shared, known=known, functions=True, special=special)
    return without_static(encoder.attributes(callback, _short(callback))), encoder


def _env(prefix: str, arrays: dict[str, Any], encoder: Encoder, value: Any, where: str) -> dict[str, Any] | None:
    """Say an environment that is not the training's; None for other values."""
    if not is_kind(value, _VEC_ENV, _ENV):
        return None
    vec, here = _vec(value), f"{prefix}{where}/"
    part = Encoder(arrays, f"{here}wrappers/")
    wrappers = environments.take_wrappers(part, vec, where) if vec is value else []
    encoder.left_out += part.left_out
    described = environments.take(vec, arrays, tested=False, prefix=here)
    for one in described:
        if one["strategy"] == "none":
            encoder.left_out.append(f"{where}: {'; '.join(one['reasons'])}")
    return {"@": "env", "wrappers": wrappers, "environments": described}


def _put_env(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    if not is_kind(existing, _VEC_ENV, _ENV):
        raise BackendError(f"{where}: the target holds a {class_name(existing)} instead of an environment")
    vec = _vec(existing)
    put = environments.plan(vec, node["environments"], decoder.arrays)
    if node["wrappers"]:
        environments.plan_wrappers(node["wrappers"], vec, decoder.arrays, decoder, where)
    decoder.later(put)
    return decoder.remember(node, existing)


class _One:
    """A single environment, to be taken and put back like one of a vector environment."""

    def __init__(self, env: Any) -> None:
        self.envs = [env]
        self.num_envs = 1


def _vec(env: Any) -> Any:
    return env if is_kind(env, _VEC_ENV) else _One(env)


_NOTHING = object()


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or one != one)


def _given(
    number: int,
    as_given: list[str],
    kept: dict[tuple[int, str], Any] | None,
    left: dict[tuple[int, str], Any],
    told: list[str],
    where: str,
    node: Any,
    existing: Any,
) -> Any:
    """Choose the program's value where training had left the saved program's as it was."""
    if kept is not None:
        return kept.get((number, where), node)
    if where not in as_given or not is_scalar(existing) or _same(existing, node):
        return node
    told.append(f"{where}: this program sets {said(existing)}, the saved one {said(node)}; this program's is used")
    left[number, where] = existing
    return existing


def _short(callback: Any) -> str:
    return type(callback).__name__
