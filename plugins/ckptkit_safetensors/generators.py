"""Random generators that a module holds as attributes: their state as a JSON leaf, judged before a library sees it."""

import base64
import random
from collections.abc import Mapping
from typing import Any

from ckptkit.errors import BackendUnavailableError, DamagedError
from ckptkit.formats.generator_states import BIT_GENERATORS, is_leaf, leaf_faults, leaf_kind, torch_bytes
from ckptkit_safetensors.lazy_import import lazy_import

Leaf = dict[str, Any]
_SEED_FIELDS = ("entropy", "spawn_key", "pool_size", "n_children_spawned")


def kind_of(item: object) -> str | None:
    """Return the kind of a live generator, or None; judged by the name of its class, so nothing is imported."""
    cls = type(item)
    if cls.__module__.startswith("numpy.random"):
        return {"Generator": "generator", "RandomState": "random-state"}.get(cls.__name__)
    if (cls.__module__, cls.__name__) == ("torch._C", "Generator"):
        return "torch-generator"
    return "python-random" if cls is random.Random else None


def refusal(item: Any) -> str | None:
    """Return why the state of a live generator cannot be written, or None."""
    if kind_of(item) == "torch-generator":
        return None if item.device.type in ("cpu", "cuda") else f"a torch generator on {item.device.type}"
    bits = getattr(item, "bit_generator", None) or getattr(item, "_bit_generator", None)
    if bits is not None and type(bits).__name__ not in BIT_GENERATORS:
        return f"a generator on {type(bits).__name__}"
    return None


def capture(item: Any) -> Leaf:
    """Return the state of a live generator for which ``refusal`` finds no reason."""
    kind = kind_of(item)
    if kind == "python-random":
        version, words, gauss = item.getstate()
        return {"kind": kind, "version": version, "words": list(words), "gauss_next": gauss}
    if kind == "torch-generator":
        device = "cpu" if item.device.type == "cpu" else f"cuda:{item.device.index or 0}"
        state = base64.b64encode(item.get_state().numpy().tobytes()).decode("ascii")
        return {"kind": kind, "device": device, "state": state}
    if kind == "random-state":
        return {"kind": kind, **_plain(item.get_state(legacy=False))}
    seeds = item.bit_generator.seed_seq
    known = type(seeds).__name__ == "SeedSequence" and type(seeds).__module__.startswith("numpy.random")
    sequence = {name: _plain(getattr(seeds, name)) for name in _SEED_FIELDS} if known else None
    return {"kind": kind, **_plain(item.bit_generator.state), "seed_seq": sequence}


def judge(leaf: Any, where: str) -> None:
    """Raise DamagedError unless the value is the state of a generator, field by field."""
    faults = (
        leaf_faults(leaf, where, decimals=False) if is_leaf(leaf) else [f"{where}: is not the state of a generator"]
    )
    fault = next(iter(faults), None)
    if fault is not None:
        raise DamagedError(fault)


def same_kind(item: Any, leaf: Mapping[str, Any]) -> bool:
    """Return whether the state of a leaf can be put into a live generator."""
    kind = kind_of(item)
    if kind != leaf_kind(leaf):
        return False
    if kind == "torch-generator":
        return bool(item.device.type == leaf["device"].partition(":")[0])
    if kind == "generator":
        return bool(type(item.bit_generator).__name__ == leaf["bit_generator"])
    return kind == "python-random" or bool(item.get_state(legacy=False)["bit_generator"] == leaf["bit_generator"])


def build(leaf: Mapping[str, Any]) -> Any:
    """Return a new generator in the state of a judged leaf."""
    kind = leaf_kind(leaf)
    if kind == "python-random":
        item: Any = random.Random()
    elif kind == "torch-generator":
        item = _new_torch(leaf["device"])
    else:
        numpy = lazy_import("numpy")
        bits = getattr(numpy.random, leaf["bit_generator"])()
        item = numpy.random.RandomState(bits) if kind == "random-state" else numpy.random.Generator(bits)
    put(item, leaf)
    return item


def put(item: Any, leaf: Mapping[str, Any]) -> None:
    """Put the state of a judged leaf into a live generator of the same kind."""
    kind = leaf_kind(leaf)
    if kind == "python-random":
        item.setstate((leaf["version"], tuple(leaf["words"]), leaf["gauss_next"]))
    elif kind == "torch-generator":
        torch = lazy_import("torch")
        item.set_state(torch.frombuffer(bytearray(torch_bytes(leaf["state"]) or b""), dtype=torch.uint8))
    else:
        state = {key: value for key, value in leaf.items() if key not in ("kind", "seed_seq")}
        if kind == "random-state":
            item.set_state(state)
            return
        numpy, bits, seeds = lazy_import("numpy"), item.bit_generator, leaf.get("seed_seq")
        if seeds is not None and int(numpy.__version__.partition(".")[0]) >= 2:  # NumPy 1 cannot: spawn() starts over
            bits.__setstate__((bits.state, numpy.random.SeedSequence(**seeds)))
        bits.state = state


def _new_torch(device: str) -> Any:
    torch = lazy_import("torch")
    if device != "cpu" and not torch.cuda.is_available():
        raise BackendUnavailableError(f"a generator of the model was on {device}, and there is no CUDA here")
    return torch.Generator(device=device)


def _plain(value: Any) -> Any:
    """Return NumPy arrays as lists and NumPy numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value
