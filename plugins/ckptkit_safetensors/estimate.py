"""About how many bytes a save of an item will write, from the sizes of what it holds: nothing is captured for it."""

from collections.abc import Iterable, Mapping
from typing import Any

from ckptkit_safetensors.capture import CONFIGS, as_policy, parameters_of, tensors_of
from ckptkit_safetensors.kinds import is_module
from ckptkit_safetensors.states import bytes_of

_EACH, _FILES = 400, 64 << 10  # bytes: what a header says of one tensor, and what small files take


def of(item: Any) -> int:
    """Return the bytes; raises BackendError for anything that is not an item of this backend."""
    _, policy = as_policy(item)
    parts = [part for part in (policy.model, policy.ema) if part is not None]
    held = [value for part in parts for value in _distinct(tensors_of(part).values())]
    held += [value for part in parts if is_module(part) for value in _distinct(_beside(part))]
    if policy.gradients:
        held += [p.grad for p in parameters_of(policy.model).values() if p.grad is not None]
    states = list(getattr(policy.optimizer, "state", {}).values())
    configs = sum(len(repr(getattr(policy, name))) for name in CONFIGS)
    return bytes_of(held) + bytes_of(states) + 2 * configs + _EACH * len(held) + _FILES


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values, those that share their memory once."""
    by_place: dict[Any, Any] = {}
    for value in values:
        place = getattr(value, "data_ptr", lambda value=value: id(value))()
        by_place.setdefault((place, getattr(value, "nbytes", 0)), value)
    return list(by_place.values())


def _beside(root: Any) -> Iterable[Any]:
    """Yield what modules hold beside their ``state_dict``: buffers that are not in it, and attributes with elements."""
    for module in root.modules():
        yield from (module._buffers.get(name) for name in getattr(module, "_non_persistent_buffers_set", ()))
        for name, value in vars(module).items():
            if not name.startswith("_"):
                yield from value.values() if isinstance(value, Mapping) else [value]
