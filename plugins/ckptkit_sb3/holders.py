"""The parts of an algorithm that may hold state of their own: networks with all their modules, the rollout buffer."""

from collections.abc import Iterator
from typing import Any

from ckptkit_sb3 import no_state
from ckptkit_sb3.levels import base_of, levels_of, wrappers_of
from ckptkit_sb3.names import is_kind
from ckptkit_sb3.parameters import part_of

_MODULE = "torch.nn.modules.module.Module"
_INTERNAL: set[str] = set()


def holders_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(name, part)`` of the networks and the rollout buffer."""
    for name in model._get_torch_save_params()[0]:
        part = part_of(model, name)
        if is_kind(part, _MODULE):
            yield name, part
    if getattr(model, "rollout_buffer", None) is not None:
        yield "rollout_buffer", model.rollout_buffer


def submodules_of(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(path, module)`` of a part and everything in it."""
    if not is_kind(part, _MODULE):
        yield name, part
        return
    for path, module in part.named_modules():
        yield (f"{name}.{path}" if path else name), module


def attributes_of(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a module or buffer that are its own: not torch's tables, not rows, not other modules."""
    skip = no_state.names_of(part)
    if is_kind(part, _MODULE):
        skip |= _internal()
    for name, value in sorted(vars(part).items()):
        if name not in skip and not _is_rows(part, value):
            yield name, value


def known_objects(model: Any) -> dict[int, Any]:
    """Return what is saved in sections of its own, by ``id``: the algorithm, environments, buffers, optimizers."""
    names = (
        "policy",
        "replay_buffer",
        "rollout_buffer",
        "action_noise",
        "action_space",
        "observation_space",
        "_logger",
    )
    found = [model, *(vars(model).get(name) for name in names)]
    found += [part_of(model, name) for name in model._get_torch_save_params()[0]]
    found += [getattr(model.policy, name, None) for name in ("action_space", "observation_space")]
    found += wrappers_of(model.env)
    for env in getattr(base_of(model.env), "envs", ()):
        found += levels_of(env)
    return {id(value): value for value in found if value is not None}


def shared_tensors(model: Any) -> frozenset[int]:
    """Return the data pointers of tensors that are in the zip."""
    return frozenset(t.data_ptr() for t in model.policy.state_dict().values() if hasattr(t, "data_ptr"))


def _internal() -> frozenset[str]:
    if not _INTERNAL:
        import torch

        _INTERNAL.update(vars(torch.nn.Module()))
    return frozenset(_INTERNAL)


def _is_rows(part: Any, value: Any) -> bool:
    """Return whether a value of a rollout buffer is rows: SB3 makes them anew when the next rollout begins."""
    size = getattr(part, "buffer_size", None)
    if size is None or is_kind(part, _MODULE):
        return False
    values = list(value.values()) if isinstance(value, dict) and value else [value]
    lengths = (size, size * part.n_envs)
    return all(getattr(v, "shape", None) and v.shape[0] in lengths for v in values)
