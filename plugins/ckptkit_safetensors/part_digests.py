"""Digests of the parts of an item: those of the files they are in, so that a save takes them while it writes.

Small parts, and states whose files may differ where their values are equal, have digests of their values.
"""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from ckptkit_safetensors import layouts, states, tensor_file
from ckptkit_safetensors.capture import portable
from ckptkit_safetensors.digests import digest_state, digest_tensors
from ckptkit_safetensors.modules import ModuleState
from ckptkit_safetensors.tensors import TensorSet

_TAKEN = "blake3:"
"""Those of a store with another algorithm are taken again: a live item is compared with them, whatever the store."""


class Parts(Protocol):
    """What a live item and the files of one have in common."""

    model: TensorSet
    ema: TensorSet | None
    gradients: TensorSet | None
    states: dict[str, Any]
    configs: dict[str, Any]
    modules: ModuleState | None


def of(parts: Parts, written: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the digest of each part, the same for live objects and for the files they went into.

    Args:
        parts: the item.
        written: digests of files that were just written, by part: these need not be taken.
    """
    known = {part: digest for part, digest in (written or {}).items() if digest.startswith(_TAKEN)}
    notes = {"model": layouts.NOTE_OF_MODEL}
    found = {
        name: known.get(name) or tensor_file.digest(tensors, notes.get(name, {}))
        for name, tensors in _sets(parts).items()
    }
    if parts.modules is not None:
        tensors = parts.modules.tensors
        held = known.get("module_tensors") or (tensor_file.digest(tensors) if tensors.tensors else "none")
        found["modules"] = digest_state([parts.modules.held(), held])
    for name, state in parts.states.items():
        large = name == "optimizer"
        found[name] = known.get(name) or states.digest(state) if large else digest_state(portable(state))
    return found | {name: digest_state(value) for name, value in parts.configs.items()}


def of_values(parts: Parts) -> dict[str, str]:
    """Return the digest of the values of each part, as it was up to format 2, wherever and however they are stored."""
    found = {name: digest_tensors(tensors) for name, tensors in _sets(parts).items()}
    if parts.modules is not None:
        tensors = parts.modules.tensors
        found["modules"] = digest_state([parts.modules.held(), {name: tensors[name] for name in tensors.names()}])
    found |= {name: digest_state(portable(state)) for name, state in parts.states.items()}
    return found | {name: digest_state(value) for name, value in parts.configs.items()}


def different(saved: Parts, now: Parts, parts: Collection[str]) -> list[str]:
    """Return those of the parts that both have, and that do not have the same values in both."""
    before, after = of_values(saved), of_values(now)
    return [part for part in parts if part in before and part in after and before[part] != after[part]]


def names(parts: Parts) -> set[str]:
    """Return the names of the parts that have a digest."""
    return {*_sets(parts), *(["modules"] if parts.modules is not None else []), *parts.states, *parts.configs}


def _sets(parts: Parts) -> dict[str, TensorSet]:
    sets = {"model": parts.model, "ema": parts.ema, "gradients": parts.gradients}
    return {name: tensors for name, tensors in sets.items() if tensors is not None}
