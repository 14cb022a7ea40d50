"""Lazy modules (`LazyLinear`, `LazyConv2d`): their parameters get a shape at the first forward, or by a load."""

from collections.abc import Callable
from typing import Any

from ckptkit_safetensors.tensors import TensorSet
from ckptkit_safetensors.undoing import Action, undone

_HOOKS = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_load_state_dict_pre_hooks")


def is_lazy(value: object) -> bool:
    """Return whether a tensor has no shape yet."""
    return any(c.__module__ == "torch.nn.parameter" and c.__name__.startswith("Uninit") for c in type(value).__mro__)


def grown_class(module: Any) -> type:
    """Return the class of a module, or the one that it becomes at its first forward."""
    lazy = hasattr(module, "_infer_parameters")
    return (getattr(module, "cls_to_become", None) if lazy else None) or type(module)


def settle(root: Any, saved: TensorSet) -> list[Action]:
    """Return what makes the lazy modules of a target what their first forward would, as far as values were saved."""
    actions: list[Action] = []
    names = set(saved.names())
    for path, module in root.named_modules():
        owns = {**module._parameters, **module._buffers}
        shapes = {
            name: saved[full]
            for name, value in owns.items()
            if is_lazy(value) and (full := f"{path}.{name}" if path else name) in names
        }
        if shapes:
            actions.append(_settle(module, owns, shapes))
    return actions


def _settle(module: Any, owns: dict[str, Any], shapes: dict[str, Any]) -> Action:
    def act() -> Callable[[], None]:
        kinds = {name: (type(owns[name]), owns[name].data) for name in shapes}
        cls, own = type(module), dict(vars(module))
        hooks = {name: dict(own[name]) for name in _HOOKS}

        def undo() -> None:
            for name, (kind, data) in kinds.items():
                owns[name].data = data
                owns[name].__class__ = kind
            module.__class__ = cls
            vars(module).update(own)
            for name, held in hooks.items():
                own[name].clear()
                own[name].update(held)

        with undone(undo):
            for name, value in shapes.items():
                owns[name].materialize(tuple(value.shape), dtype=value.dtype)
            if not module.has_uninitialized_params():
                _end(module)
        return undo

    return act


def _end(module: Any) -> None:
    """Do what torch does after the first forward: it draws no weights any more, and is an ordinary module."""
    for name in ("_initialize_hook", "_load_hook"):
        if (handle := vars(module).pop(name, None)) is not None:
            handle.remove()
    module.__class__ = grown_class(module)
