"""What an item or a part of it is: a module, a tensor, a dict of tensors, a bundle of parts; torch is not imported."""

from collections.abc import Mapping
from typing import Any, Protocol


class Bundle(Protocol):
    """What the rooms below know of a ``Policy``: its parts, and what it remembers of how they were built."""

    model: Any
    optimizer: Any
    scheduler: Any
    scaler: Any
    ema: Any
    built: Any


def is_module(item: object) -> bool:
    """Return whether the object is a ``torch.nn.Module``, without importing torch."""
    return any(c.__module__ == "torch.nn.modules.module" and c.__name__ == "Module" for c in type(item).__mro__)


def is_tensor(item: object) -> bool:
    """Return whether the object is a torch tensor or a NumPy array, without importing either."""
    kinds = {("torch", "Tensor"), ("numpy", "ndarray")}
    return any((c.__module__, c.__name__) in kinds for c in type(item).__mro__)


def is_tensor_dict(item: object) -> bool:
    """Return whether the object is a dict with at least one entry, all of them named tensors or arrays."""
    return (
        isinstance(item, Mapping)
        and len(item) > 0
        and all(isinstance(name, str) and is_tensor(value) for name, value in item.items())
    )
