"""Live generators: what each is, its state as a JSON leaf, a new one from a leaf, a leaf put into an old one.

A leaf is trusted here: it comes from a live generator, or ``rules`` has judged it. Nothing else may call ``build`` and
``put``, since NumPy does not look at what it is given.
"""

import base64
import copy
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from ckptkit.errors import BackendError, BackendUnavailableError
from ckptkit.formats.generator_states import BIT_GENERATORS, leaf_kind, torch_bytes
from ckptkit_numpy import jax_keys
from ckptkit_numpy.opening import Slot, is_jax_key

_SPAWN_IN_PLACE = 100_000  # at most; NumPy makes a child for each, 0.7 s for these
_SPAWN_CHUNK = 1000
RESEATED = ("generator", "random-state")
"""Kinds that can be given another bit generator in place."""
_ENTROPY_BITS = 13_000  # about the 4000 decimal digits that the rules read


def kind_of(item: object) -> str | None:
    """Return the kind of a live generator, or None; judged by the name of its class, so nothing is imported."""
    if isinstance(item, Slot):
        return "jax-key" if is_jax_key(item.value) else "plain-value"
    cls = type(item)
    module, name = cls.__module__, cls.__qualname__
    if module.startswith("numpy.random"):
        kinds = {"Generator": "generator", "RandomState": "random-state", "SeedSequence": "seed-sequence"}
        return "bit-generator" if name in BIT_GENERATORS else kinds.get(name)
    if (module, name) == ("torch._C", "Generator"):
        return "torch-generator"
    return "python-random" if cls is random.Random else None


def capture(item: Any) -> dict[str, Any]:
    """Return the state of a live generator as a JSON leaf.

    Raises:
        BackendError: it runs on a bit generator or a device that is not known here.
    """
    kind = kind_of(item)
    if kind == "python-random":
        version, words, gauss_next = item.getstate()
        return {"kind": kind, "version": version, "words": list(words), "gauss_next": gauss_next}
    if kind == "torch-generator":
        if item.device.type not in ("cpu", "cuda"):
            raise BackendError(f"a torch generator on {item.device.type} cannot be saved, only one on cpu or cuda")
        device = "cpu" if item.device.type == "cpu" else f"cuda:{item.device.index or 0}"
        state = base64.b64encode(bytes(item.get_state().tolist())).decode("ascii")
        return {"kind": kind, "device": device, "state": state}
    if kind == "random-state":
        return {"kind": kind, **_plain(item.get_state(legacy=False))}
    if kind == "seed-sequence":
        return {"kind": kind, **_seed_state(item)}
    if isinstance(item, Slot):
        return jax_keys.capture(item) if kind == "jax-key" else {"kind": kind, "json": json.dumps(item.value)}
    if kind not in ("generator", "bit-generator"):
        raise BackendError(f"a {type(item).__module__}.{type(item).__qualname__} is not a known generator")
    bits = _bits(item)
    if type(bits).__name__ not in BIT_GENERATORS:
        raise BackendError(f"the bit generator {type(bits).__name__} is not known, only {', '.join(BIT_GENERATORS)}")
    sequence = _sequence(bits)
    seed_seq = None if sequence is None else _seed_state(sequence)
    return {"kind": kind, **_plain(bits.state), "seed_seq": seed_seq}


def has_foreign_sequence(item: Any) -> bool:
    """Return whether a live generator spawns through a seed sequence that is not NumPy's own, so not captured."""
    bits = _bits(item)
    return kind_of(bits) == "bit-generator" and bits.seed_seq is not None and _sequence(bits) is None


def build(leaf: Mapping[str, Any]) -> Any:
    """Return a new generator in the state of a judged leaf, after reading its state back.

    Raises:
        BackendUnavailableError: its library is not installed, or there is no such device here.
        BackendError: what was read back is not what was set.
    """
    kind = leaf_kind(leaf)
    if kind == "plain-value":
        return json.loads(leaf["json"])
    if kind == "jax-key":
        return jax_keys.build(leaf)
    library = "torch" if kind == "torch-generator" else "numpy"
    try:
        item = random.Random() if kind == "python-random" else _NEW[library](leaf)
    except ImportError as error:
        raise missing(library) from error
    put(item, leaf)
    back = capture(item)
    if any(back.get(key) != value for key, value in leaf.items() if value is not None):
        raise BackendError(f"the library did not keep the state of the {leaf.get('bit_generator', kind)} it was given")
    return item


def put(item: Any, leaf: Mapping[str, Any]) -> None:
    """Put the state of a judged leaf into a live generator of the same kind."""
    kind = leaf_kind(leaf)
    if kind == "python-random":
        item.setstate((leaf["version"], tuple(leaf["words"]), leaf["gauss_next"]))
    elif kind == "torch-generator":
        import torch

        item.set_state(torch.frombuffer(bytearray(torch_bytes(leaf["state"]) or b""), dtype=torch.uint8))
    elif kind == "random-state":
        item.set_state(_numpy_state(leaf))
    elif kind == "seed-sequence":
        _become(item, {key: value for key, value in leaf.items() if key != "kind"})
    elif isinstance(item, Slot):
        if capture(item) != leaf:
            item.put(build(leaf))
    else:
        bits = _bits(item)
        _put_sequence(bits, leaf.get("seed_seq"))
        bits.state = _numpy_state(leaf)


def reseat(item: Any, new: Any, leaf: Mapping[str, Any]) -> None:
    """Make a Generator or a RandomState draw from the bit generator of a new one, as whoever holds it will see.

    ``numpy.random.set_bit_generator`` does the same to the global one.
    """
    type(item).__init__(item, bits_of(new))
    put(item, leaf)


def duplicate(item: Any) -> Any:
    """Return an independent copy of a live generator, made without the JSON form, so that it can judge that form."""
    if kind_of(item) == "torch-generator":
        return item.clone_state()
    if isinstance(item, Slot):
        return Slot([item.value], 0, item.value)
    if kind_of(item) in ("random-state", "python-random", "seed-sequence"):
        return copy.deepcopy(item)
    bits = _bits(item)
    sequence = copy.deepcopy(_sequence(bits))
    new = _new_bits(type(bits), sequence)
    new.state = bits.state
    return new if item is bits else type(item)(new)


def bits_of(item: Any) -> Any:
    """Return the bit generator that a live NumPy generator draws from, or None."""
    if kind_of(item) == "random-state":
        return item._bit_generator  # NumPy has no public name for it
    return _bits(item) if kind_of(item) in ("generator", "bit-generator") else None


def _bits(item: Any) -> Any:
    return getattr(item, "bit_generator", item)


def _sequence(bits: Any) -> Any | None:
    """Return the bit generator's seed sequence if it is NumPy's own: another class may hold more than we know."""
    sequence = bits.seed_seq
    own = type(sequence).__module__.startswith("numpy.random") and type(sequence).__name__ == "SeedSequence"
    return sequence if own else None


def _seed_state(sequence: Any) -> dict[str, Any]:
    """Return the four numbers of a seed sequence; nested entropy is flat, as NumPy itself flattens it."""
    state = sequence.state
    entropy = _plain(state["entropy"])
    entropy = _flat(entropy) if isinstance(entropy, list) else int(entropy)
    if any(part.bit_length() > _ENTROPY_BITS for part in (entropy if isinstance(entropy, list) else [entropy])):
        raise BackendError(f"its seed has more than {_ENTROPY_BITS} bits", hint="give the seed as a list of words")
    return {
        "entropy": entropy,
        "spawn_key": _flat(_plain(state["spawn_key"])),
        "pool_size": int(state["pool_size"]),
        "n_children_spawned": int(state["n_children_spawned"]),
    }


def refusal(item: Any, leaf: Mapping[str, Any]) -> str | None:
    """Return why the state of a judged leaf cannot be put into a live generator of its kind, or None."""
    if isinstance(item, Slot) and item.owner is None:
        return "nothing can be put in its place"
    wanted = leaf.get("seed_seq")
    if wanted is None or can_replace_sequence() or _children_behind(_bits(item), wanted) is not None:
        return None
    return "NumPy 1 cannot give an existing generator the seed sequence of the saved one"


def _children_behind(bits: Any, wanted: Mapping[str, Any]) -> int | None:
    """Return how many children to spawn to make the bit generator's sequence the wanted one; None if that cannot be."""
    sequence = _sequence(bits)
    have = {} if sequence is None else _seed_state(sequence)
    if any(have.get(key) != wanted[key] for key in ("entropy", "spawn_key", "pool_size")):
        return None
    behind: int = wanted["n_children_spawned"] - have["n_children_spawned"]
    return behind if 0 <= behind <= _SPAWN_IN_PLACE else None


def _become(sequence: Any, wanted: Mapping[str, Any]) -> None:
    """Make a seed sequence another one, through the pickle protocol: no attribute of it can be set."""
    import numpy

    sequence.__setstate__(numpy.random.SeedSequence(**wanted).__reduce__()[2])


def _put_sequence(bits: Any, wanted: Mapping[str, Any] | None) -> None:
    """Make the bit generator spawn the children that the saved one was going to spawn next.

    A sequence of the same seed that is behind is advanced, so that others who hold it see it too; any other is
    replaced through the pickle protocol, which carries the sequence since NumPy 2.
    """
    if wanted is None:
        return
    behind = _children_behind(bits, wanted)
    if behind is None:
        import numpy

        bits.__setstate__((bits.state, numpy.random.SeedSequence(**wanted)))
    else:
        for start in range(0, behind, _SPAWN_CHUNK):
            bits.seed_seq.spawn(min(_SPAWN_CHUNK, behind - start))


def sequence_of(item: Any) -> Any | None:
    """Return NumPy's own seed sequence of a live generator, or None; a bare one is its own."""
    if kind_of(item) == "seed-sequence":
        return item
    bits = bits_of(item)
    return None if bits is None else _sequence(bits)


def copy_of_sequence(sequence: Any) -> Any:
    """Return another seed sequence that spawns the same children."""
    return type(sequence)(**_seed_state(sequence))


def give_sequence(item: Any, sequence: Any) -> bool:
    """Let a live generator spawn from this seed sequence; False where that cannot be (NumPy 1, a bare sequence)."""
    bits = bits_of(item)
    if bits is None or not can_replace_sequence():
        return False
    bits.__setstate__((bits.state, sequence))
    return True


def can_replace_sequence() -> bool:
    """Return whether a bit generator's seed sequence can be replaced: from NumPy 2 on."""
    import numpy

    return int(numpy.__version__.split(".")[0]) >= 2


def missing(library: str) -> BackendUnavailableError:
    """Return the error for a library that the checkpoint needs and this environment does not have."""
    return BackendUnavailableError(
        f"the checkpoint has the state of a generator of {library}, but {library} is not installed",
        hint=f"install {library}, which the process that saved had",
    )


def _new_numpy(leaf: Mapping[str, Any]) -> Any:
    import numpy

    if leaf_kind(leaf) == "seed-sequence":
        return numpy.random.SeedSequence(0)
    wanted = leaf.get("seed_seq")
    sequence = numpy.random.SeedSequence(**wanted) if wanted else None
    bits = _new_bits(getattr(numpy.random, leaf["bit_generator"]), sequence)
    wrapper = {"generator": numpy.random.Generator, "random-state": numpy.random.RandomState}.get(leaf_kind(leaf))
    return bits if wrapper is None else wrapper(bits)


def _new_bits(cls: Any, sequence: Any | None) -> Any:
    """Return a bit generator with this seed sequence; with none, spawning from it fails, as it did from the saved.

    NumPy 1 cannot take a sequence away: there, such a generator spawns the children of seed 0.
    """
    bits = cls(0 if sequence is None else sequence)
    if sequence is None and can_replace_sequence():
        bits.__setstate__((bits.state, None))
    return bits


def _new_torch(leaf: Mapping[str, Any]) -> Any:
    import torch

    device = leaf["device"]
    if device == "cpu":
        return torch.Generator()
    count, index = torch.cuda.device_count(), int(device.removeprefix("cuda:"))
    if not torch.cuda.is_available() or index >= count:
        raise BackendUnavailableError(
            f"the checkpoint has the state of the torch generator of {device}, here are {count} CUDA devices",
            hint="resume on as many devices as before; GlobalRng(cuda=False) leaves the generators of devices alone",
        )
    return torch.Generator(device=device)


_NEW: dict[str, Callable[[Mapping[str, Any]], Any]] = {"numpy": _new_numpy, "torch": _new_torch}


def _numpy_state(leaf: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in leaf.items() if key not in ("kind", "seed_seq")}


def _plain(value: Any) -> Any:
    """Return NumPy arrays as lists and NumPy numbers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    to_list: Callable[[], Any] | None = getattr(value, "tolist", None)
    return value if to_list is None else to_list()


def _flat(values: list[Any]) -> list[int]:
    return [part for item in values for part in (_flat(item) if isinstance(item, list) else [int(item)])]
