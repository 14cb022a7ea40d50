"""Random generators as nodes: their states as plain JSON, judged by the core's rules before a library sees them."""

import base64
import random
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import DamagedError
from ckptkit.formats.generator_states import leaf_faults
from ckptkit_sb3.names import is_kind


def encode(encoder: Any, value: Any) -> dict[str, Any] | None:
    """Return the node of a generator, or None for another value."""
    if type(value) is random.Random:
        return {"@": "random", "state": encode_python(value.getstate())}
    if is_kind(value, "numpy.random._generator.Generator"):
        return {"@": "generator", **_encode_numpy(value)}
    if is_kind(value, "numpy.random.mtrand.RandomState"):
        return {"@": "random-state", **encode_legacy(value)}
    if is_kind(value, "torch._C.Generator"):
        return {"@": "torch-generator", "device": str(value.device), "state": encoder.array(value.get_state().numpy())}
    return None


def encode_legacy(state: Any) -> dict[str, Any]:
    """Return the state of a legacy ``RandomState`` (also the global one), with its cached gaussian."""
    found = _plain(state.get_state(legacy=False))
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


def _plain(value: Any) -> Any:
    """Return a NumPy state (nested dicts of arrays and scalars) as dicts, lists and integers."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _encode_numpy(generator: Any) -> dict[str, Any]:
    """Return the state of a ``numpy.random.Generator`` with what its SeedSequence needs to spawn the same children."""
    bits = generator.bit_generator
    state = _plain(bits.state)
    kind = state.pop("bit_generator")
    sequence: Any = getattr(bits, "seed_seq", None)
    seeds = None
    if hasattr(sequence, "n_children_spawned"):
        seeds = {
            "entropy": _plain(sequence.entropy),
            "spawn_key": list(sequence.spawn_key),
            "pool_size": sequence.pool_size,
            "n_children_spawned": sequence.n_children_spawned,
        }
    return {"kind": kind, "state": state, "seed_sequence": seeds}


def _generator(decoder: Any, value: Any, existing: Any, where: str) -> Any:
    import numpy as np

    validate(value, where)
    kind, seeds = value["kind"], value["seed_sequence"]
    sequence = np.random.SeedSequence(0)
    if seeds is not None:
        sequence = np.random.SeedSequence(**{**seeds, "spawn_key": tuple(seeds["spawn_key"])})
    bits = getattr(np.random, kind)(sequence)
    bits.state = {"bit_generator": kind, **value["state"]}
    if _plain(bits.state) != {"bit_generator": kind, **value["state"]}:
        raise DamagedError(f"{where}: a {kind} state that NumPy does not keep as it is")
    return decoder.remember(value, np.random.Generator(bits))


def _random_state(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    import numpy as np

    made = np.random.RandomState(0)
    made.set_state(decode_legacy(node, where))
    return decoder.remember(node, made)


def _random(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    made = random.Random(0)
    made.setstate(decode_python(node["state"], where))
    return decoder.remember(node, made)


def _torch_generator(decoder: Any, node: Any, existing: Any, where: str) -> Any:
    import torch

    state = torch.from_numpy(decoder.array(node["state"], where))
    if (device := str(node["device"]).partition(":")[0]) in ("cpu", "cuda"):
        validate_torch(device, bytes(state.numpy()), where)
    kept = is_kind(existing, "torch._C.Generator")
    try:
        made = torch.Generator(existing.device if kept else node["device"])
        made.set_state(state)  # a throw-away one where there is one already: torch checks only while it sets
    except RuntimeError as error:
        raise DamagedError(f"{where}: not a state of torch's generator on {node['device']}") from error
    if kept:
        decoder.later(lambda: existing.set_state(state))
    return decoder.remember(node, existing if kept else made)


KINDS = {
    "random": _random,
    "generator": _generator,
    "random-state": _random_state,
    "torch-generator": _torch_generator,
}
"""What decodes the nodes of generators, by kind."""
