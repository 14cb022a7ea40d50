"""The random generators that a loader draws from: the global ones of the process, and those its parts hold."""

import base64
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ckptkit.errors import BackendError
from ckptkit.formats.generator_states import torch_bytes
from ckptkit_torchdata.lazy_import import torch
from ckptkit_torchdata.rules import BIT_GENERATORS

Leaf = dict[str, Any]


def globals_state() -> dict[str, Leaf]:
    """Return the state of the global generators; NumPy's only if this process has imported NumPy."""
    state = {"python": capture(_python()), "torch": capture(torch().default_generator)}
    if (numpy := sys.modules.get("numpy")) is not None:
        state["numpy"] = capture(numpy.random.mtrand._rand)
    return state


def put_globals(state: Mapping[str, Leaf]) -> None:
    """Put judged states of the global generators back."""
    put(_python(), state["python"])
    put(torch().default_generator, state["torch"])
    if "numpy" in state:
        import numpy

        put(numpy.random.mtrand._rand, state["numpy"])


def seed_globals(seed: int) -> None:
    """Seed the global generators of Python, torch and, if it is imported, NumPy."""
    random.seed(seed)
    torch().default_generator.manual_seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)


def globals_fingerprint() -> tuple[object, ...]:
    """Return a value that changes when something draws from a global generator; cheap enough for every batch."""
    numpy = sys.modules.get("numpy")
    drawn = numpy.random.get_state(legacy=True) if numpy else None
    words = None if drawn is None else (drawn[1].tobytes(), *drawn[2:])
    return random.getstate(), torch().default_generator.get_state().tolist(), words


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run a block and put the global generators back as they were, those of CUDA devices too if CUDA is in use."""
    before, cuda = globals_state(), torch().cuda
    devices = cuda.get_rng_state_all() if cuda.is_initialized() else None
    try:
        yield
    finally:
        put_globals(before)
        if devices is not None:
            cuda.set_rng_state_all(devices)


def kind_of(item: object) -> str | None:
    """Return the kind of a live generator, or None; judged by the name of its class."""
    cls = type(item)
    if cls.__module__.startswith("numpy.random"):
        return {"Generator": "numpy-generator", "RandomState": "numpy-random-state"}.get(cls.__name__)
    if (cls.__module__, cls.__name__) == ("torch._C", "Generator"):
        return "torch"
    return "python" if cls is random.Random else None


def unknown(item: Any) -> str | None:
    """Describe a live generator whose state cannot be saved, or return None."""
    kind = kind_of(item)
    if kind == "torch":
        return None if item.device.type == "cpu" else f"torch generator on {item.device.type}"
    if kind == "numpy-generator":
        name = type(item.bit_generator).__name__
        return None if name in BIT_GENERATORS else name
    return None


def capture(item: Any) -> Leaf:
    """Return the state of a live generator as a JSON leaf. Raises BackendError if it runs on one not known here."""
    kind = kind_of(item)
    if kind == "python":
        _, words, gauss = item.getstate()
        return {"kind": kind, "words": list(words), "gauss": gauss}
    if kind == "torch":
        return {"kind": kind, "state": base64.b64encode(bytes(item.get_state().tolist())).decode("ascii")}
    state = item.bit_generator.state if kind == "numpy-generator" else item.get_state(legacy=False)
    if state["bit_generator"] not in BIT_GENERATORS:
        raise BackendError(
            f"torch-data: the global NumPy generator is a {state['bit_generator']}, not one of "
            f"{', '.join(BIT_GENERATORS)}",
            hint="leave numpy.random's own bit generator in place",
        )
    return {"kind": str(kind), **_plain(state)}


def put(item: Any, leaf: Leaf) -> None:
    """Put a judged leaf into a live generator of the same kind."""
    if leaf["kind"] == "python":
        item.setstate((3, tuple(leaf["words"]), leaf["gauss"]))
    elif leaf["kind"] == "torch":
        item.set_state(torch().frombuffer(bytearray(torch_bytes(leaf["state"]) or b""), dtype=torch().uint8))
    else:
        state = {name: value for name, value in leaf.items() if name != "kind"}
        if leaf["kind"] == "numpy-generator":
            item.bit_generator.state = state
        else:
            item.set_state(state)


def made(leaf: Leaf) -> Any:
    """Return a new generator with a judged state: for one that its owner makes at the first use."""
    kind = leaf["kind"]
    if kind == "python":
        item: Any = random.Random()
    elif kind == "torch":
        item = torch().Generator()
    else:
        import numpy as np

        bits = getattr(np.random, leaf["bit_generator"])()
        item = np.random.Generator(bits) if kind == "numpy-generator" else np.random.RandomState(bits)
    put(item, leaf)
    return item


def reseat(item: Any, leaf: Leaf) -> bool:
    """Give a NumPy generator of the same class the bit generator of a judged leaf, in place; False if it is another."""
    if kind_of(item) != leaf["kind"] or "bit_generator" not in leaf:
        return False
    new = made(leaf)
    type(item).__init__(item, new.bit_generator if leaf["kind"] == "numpy-generator" else new._bit_generator)
    put(item, leaf)
    return True


def misfit(item: Any, leaf: Leaf) -> str | None:
    """Return why a judged leaf cannot be put into a live generator, or None."""
    kind = kind_of(item)
    if kind != leaf["kind"]:
        return f"is a {type(item).__name__}, the saved one was a {leaf['kind']} generator"
    if kind == "numpy-generator" and type(item.bit_generator).__name__ != leaf["bit_generator"]:
        return f"is a {type(item.bit_generator).__name__}, the saved one was a {leaf['bit_generator']}"
    return None


def _python() -> Any:
    return random._inst  # the object whose methods the module's functions are


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    to_list = getattr(value, "tolist", None)
    return value if to_list is None else to_list()
