"""Random generator states as plain JSON, judged by the core's rules before a library sees them."""

import base64
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.generator_states import leaf_faults


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
    bits.state = {"bit_generator": kind, **value["state"]}
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
    return {"bit_generator": value["kind"], **value["state"]}


def encode_python(state: Any) -> dict[str, Any]:
    """Return the state of python's ``random`` as JSON: version, 625 words, cached gaussian."""
    return {"version": state[0], "words": list(state[1]), "gauss": state[2]}


def decode_python(value: Any, where: str) -> tuple[Any, ...]:
    """Return the argument of ``random.setstate``; raises DamagedError unless it is one."""
    found = value if isinstance(value, Mapping) else {}
    words: Any = found.get("words")
    _judge("python-random", {"version": found.get("version"), "words": words, "gauss_next": found.get("gauss")}, where)
    return 3, tuple(words), found.get("gauss")


def validate(value: Any, where: str) -> None:
    """Raise DamagedError unless the value is the state of a known bit generator, word by word."""
    _judge("generator", {**_numpy_state(value, where), "seed_seq": value.get("seed_sequence")}, where)


def validate_legacy(value: Any, where: str) -> None:
    """Raise DamagedError unless the value is the state of a legacy RandomState over MT19937."""
    state = _numpy_state(value, where)
    if value["kind"] != "MT19937":
        raise DamagedError(f"{where}: not the state of a RandomState over MT19937")
    _judge("random-state", state, where)


def validate_torch(device: str, state: bytes, where: str) -> None:
    """Raise DamagedError unless the bytes are the state of torch's generator on ``cpu`` or on a CUDA device."""
    leaf = {"device": "cpu" if device == "cpu" else "cuda:0", "state": base64.b64encode(state).decode("ascii")}
    _judge("torch-generator", leaf, where)


def _numpy_state(value: Any, where: str) -> dict[str, Any]:
    """Return what NumPy's own dictionary of a state holds."""
    state = value.get("state") if isinstance(value, Mapping) else None
    if not isinstance(state, Mapping) or not state.keys().isdisjoint({"kind", "bit_generator", "seed_seq"}):
        raise DamagedError(f"{where}: not the state of a generator")
    return {**state, "bit_generator": value.get("kind")}


def _judge(kind: str, leaf: Mapping[str, Any], where: str) -> None:
    for fault in leaf_faults({**leaf, "kind": kind}, where, decimals=False):
        raise DamagedError(fault)
