"""What modules keep besides parameters and persistent buffers: generators, own attributes, other buffers, modes."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ckptkit_sb3 import settings
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder, without_static
from ckptkit_sb3.holders import attributes_of, holders_of, known_objects, submodules_of
from ckptkit_sb3.names import is_scalar


def take(model: Any, arrays: dict[str, Any], shared: frozenset[int]) -> tuple[dict[str, Any], list[str]]:
    """Return the section, and what could not be said; plain values are settings.

    Args:
        model: the algorithm.
        arrays: where large arrays are put.
        shared: data pointers of tensors that are in the zip.
    """
    encoder = Encoder(arrays, "modules/", shared=shared, known=known_objects(model), functions=True)
    attributes: dict[str, Any] = {}
    buffers: dict[str, Any] = {}
    training = []
    for path, part in _parts(model).items():
        attributes |= {f"{path}.{name}": v for name, v in attributes_of(part) if not is_scalar(v)}
        others = getattr(part, "_non_persistent_buffers_set", ())
        buffers |= {f"{path}.{name}": part._buffers[name] for name in others}
        if getattr(part, "training", False):
            training.append(path)
    return {
        "attributes": without_static({path: encoder.encode(v, path) for path, v in sorted(attributes.items())}),
        "buffers": without_static({path: encoder.encode(v, path) for path, v in sorted(buffers.items())}),
        "training": sorted(training),
    }, encoder.left_out


def plan(model: Any, section: Mapping[str, Any], arrays: Mapping[str, Any], decoder: Decoder) -> list[str]:
    """Collect the assignments that put the section back; return one line for each value that found no place."""
    own, told, training = Decoder(arrays), [], set(section["training"])
    parts = _parts(model)
    for kind in ("attributes", "buffers"):
        for path, node in sorted(section[kind].items()):  # in the order in which they were said
            place, _, name = path.rpartition(".")
            values = None if place not in parts else vars(parts[place])
            if values is not None and kind == "buffers":
                values = values.get("_buffers")
            if values is None or (kind == "buffers" and name not in values):
                told.append(f"{path}: the agent has no place for it; what was saved is not put back")
                continue
            own.later(partial(values.update, {name: own.attempt(node, values, name, path, told)}))
    for path, part in parts.items():
        if hasattr(part, "training"):
            own.later(partial(setattr, part, "training", path in training))
    decoder.later(own.apply)
    return told


@contextlib.contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Put modes, buffers, settings and own state of all modules back after the body, which may call them."""
    if _is_stock(model):
        modes = [(part, part.training) for part in _parts(model).values() if hasattr(part, "training")]
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode
        return
    arrays: dict[str, Any] = {}
    noted, _ = settings.take(model)
    section, _ = take(model, arrays, frozenset())
    kept = [
        (buffers, dict(buffers), {k: b.clone() for k, b in buffers.items() if b is not None})
        for buffers in (part._buffers for part in _parts(model).values() if hasattr(part, "_buffers"))
    ]
    try:
        yield
    finally:
        for live, objects, values in kept:
            live.update(objects)
            for name, value in values.items():
                live[name].copy_(value)
        decoder = Decoder(arrays)
        plan(model, section, arrays, decoder)
        decoder.apply()
        settings.put(model, noted)


def _is_stock(model: Any) -> bool:
    """Return whether all modules are of torch and SB3: to be asked changes nothing of theirs but the mode."""
    homes = {type(part).__module__.partition(".")[0] for part in _parts(model).values()}
    return homes <= {"torch", "stable_baselines3", "sb3_contrib"}


def _parts(model: Any) -> dict[str, Any]:
    return {path: part for name, holder in holders_of(model) for path, part in submodules_of(name, holder)}
