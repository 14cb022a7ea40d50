"""Random generator states as plain JSON, validated before NumPy sees them (bad ones crash it or make it hang).

The rules per bit generator (word counts and ranges) are those of NumPy's own ``state`` properties.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.errors import DamagedError

KINDS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_MT_WORDS = 624


def plain(value: Any) -> Any:
    """Return a NumPy state (nested dicts of arrays and scalars) as dicts, lists and integers."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def encode(generator: Any) -> dict[str, Any]:
    """Return the state of a ``numpy.random.Generator`` with what its SeedSequence needs to spawn the same children."""
    bits = generator.bit_generator
    state = plain(bits.state)
    kind = state.pop("bit_generator")
    sequence: Any = getattr(bits, "seed_seq", None)
    seeds = None
    if hasattr(sequence, "n_children_spawned"):
        seeds = {
            "entropy": plain(sequence.entropy),
            "spawn_key": list(sequence.spawn_key),
            "pool_size": sequence.pool_size,
            "n_children_spawned": sequence.n_children_spawned,
        }
    return {"kind": kind, "state": state, "seed_sequence": seeds}


def decode(value: Mapping[str, Any], where: str) -> Any:
    """Return a new ``numpy.random.Generator`` in the state; raises DamagedError, naming the field, on a bad one."""
    import numpy as np

    validate(value, where)
    kind, seeds = value["kind"], value["seed_sequence"]
    sequence = np.random.SeedSequence(0)
    if seeds is not None:
        sequence = np.random.SeedSequence(**{**seeds, "spawn_key": tuple(seeds["spawn_key"])})
    bits = getattr(np.random, kind)(sequence)
    bits.state = {"bit_generator": kind, **_arrays(value["state"])}
    if plain(bits.state) != {"bit_generator": kind, **value["state"]}:
        raise DamagedError(f"{where}: a {kind} state that NumPy does not keep as it is")
    return np.random.Generator(bits)


def encode_legacy(state: Any) -> dict[str, Any]:
    """Return the state of a legacy ``RandomState`` (also the global one), with its cached gaussian."""
    found = plain(state.get_state(legacy=False))
    return {"kind": found["bit_generator"], "state": {k: v for k, v in found.items() if k != "bit_generator"}}


def decode_legacy(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the argument for ``RandomState.set_state`` after checking every word of it."""
    validate_legacy(value, where)
    state = value["state"]
    return {"bit_generator": value["kind"], **_arrays(state)}


def validate(value: Any, where: str) -> None:
    """Raise DamagedError unless the value is the state of a known bit generator, word by word."""
    if not isinstance(value, Mapping) or value.get("kind") not in KINDS or not isinstance(value.get("state"), Mapping):
        raise DamagedError(f"{where}: not the state of a known generator ({', '.join(KINDS)})")
    kind, state = value["kind"], value["state"]
    inner = state.get("state")
    if not isinstance(inner, Mapping):
        raise DamagedError(f"{where}.state: missing")
    {"MT19937": _mt, "Philox": _philox, "SFC64": _sfc, "PCG64": _pcg, "PCG64DXSM": _pcg}[kind](state, inner, where)
    if kind != "MT19937":
        _integer(state.get("has_uint32"), 0, 1, f"{where}.has_uint32")
        _integer(state.get("uinteger"), 0, 2**32 - 1, f"{where}.uinteger")
    seeds = value.get("seed_sequence")
    if seeds is not None:
        _seed_sequence(seeds, where)


def validate_legacy(value: Any, where: str) -> None:
    """Raise DamagedError unless the value is the state of a legacy RandomState over MT19937."""
    if not isinstance(value, Mapping) or value.get("kind") != "MT19937" or not isinstance(value.get("state"), Mapping):
        raise DamagedError(f"{where}: not the state of a RandomState over MT19937")
    state = value["state"]
    inner = state.get("state")
    if not isinstance(inner, Mapping):
        raise DamagedError(f"{where}.state: missing")
    _mt(state, inner, where)
    _integer(state.get("has_gauss"), 0, 1, f"{where}.has_gauss")
    gauss = state.get("gauss")
    if not isinstance(gauss, float) or not math.isfinite(gauss):
        raise DamagedError(f"{where}.gauss: not a finite number")


def _arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    found: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            found[key] = _arrays(value)
        elif isinstance(value, Sequence):
            found[key] = np.asarray(value, dtype=np.uint32 if len(value) == _MT_WORDS else np.uint64)
        else:
            found[key] = value
    return found


def _integer(value: object, low: int, high: int, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DamagedError(f"{where}: not an integer from {low} to {high}")


def _words(value: object, count: int, bits: int, where: str) -> None:
    if not isinstance(value, list) or len(value) != count:
        raise DamagedError(f"{where}: not {count} words")
    for word in value:
        _integer(word, 0, 2**bits - 1, where)


def _mt(state: Mapping[str, Any], inner: Mapping[str, Any], where: str) -> None:
    _words(inner.get("key"), _MT_WORDS, 32, f"{where}.key")
    _integer(inner.get("pos"), 0, _MT_WORDS, f"{where}.pos")
    if not any(inner["key"]):
        raise DamagedError(f"{where}.key: all zero, it would never draw anything else")


def _pcg(state: Mapping[str, Any], inner: Mapping[str, Any], where: str) -> None:
    _integer(inner.get("state"), 0, 2**128 - 1, f"{where}.state")
    _integer(inner.get("inc"), 1, 2**128 - 1, f"{where}.inc")
    if inner["inc"] % 2 == 0:
        raise DamagedError(f"{where}.inc: even, it must be odd")


def _philox(state: Mapping[str, Any], inner: Mapping[str, Any], where: str) -> None:
    _words(inner.get("counter"), 4, 64, f"{where}.counter")
    _words(inner.get("key"), 2, 64, f"{where}.key")
    _words(state.get("buffer"), 4, 64, f"{where}.buffer")
    _integer(state.get("buffer_pos"), 0, 4, f"{where}.buffer_pos")


def _sfc(state: Mapping[str, Any], inner: Mapping[str, Any], where: str) -> None:
    _words(inner.get("state"), 4, 64, f"{where}.state")
    if not any(inner["state"]):
        raise DamagedError(f"{where}.state: all zero")


def _seed_sequence(seeds: Any, where: str) -> None:
    if not isinstance(seeds, Mapping) or set(seeds) != {"entropy", "spawn_key", "pool_size", "n_children_spawned"}:
        raise DamagedError(f"{where}.seed_sequence: not the fields of a SeedSequence")
    entropy, key = seeds["entropy"], seeds["spawn_key"]
    words = entropy if isinstance(entropy, list) else [] if entropy is None else [entropy]
    if not isinstance(key, list):
        raise DamagedError(f"{where}.seed_sequence.spawn_key: not a list")
    for word in (*words, *key):
        _integer(word, 0, 2**1024, f"{where}.seed_sequence")
    _integer(seeds["pool_size"], 4, 1024, f"{where}.seed_sequence.pool_size")
    _integer(seeds["n_children_spawned"], 0, 2**32, f"{where}.seed_sequence.n_children_spawned")
