"""Puts the state of an optimizer back: each parameter gets its own by name, in the groups that the run had.

torch goes by position: it gives the state of an AdamW to an SGD, and moments of one shape to parameters of another,
without a word. A run may add, remove, split or reorder groups on its way; a new process builds the first ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_safetensors.capture import class_of, group_entry, tensors_with_identity
from ckptkit_safetensors.fit import listed
from ckptkit_safetensors.undoing import Action, undone

# State that every torch optimizer keeps in the shape of its parameter (others, such as Adafactor's rows, are not).
_LIKE_PARAMETER = frozenset(
    {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "grad_avg", "acc_delta"}
    | {"sum", "prev", "step_size", "ax"}
)
# Options that schedulers or newer versions of torch add to a group: their absence says nothing about the class.
_OPTIONAL = frozenset(
    {"params", "param_names", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "swa_lr"}
    | {"maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"}
)


def fit_optimizer(state: Mapping[str, Any], groups: object, model: Any, optimizer: Any) -> list[list[Any]]:
    """Return the parameters of each group that the optimizer shall have; each gets its own state back.

    Args:
        state: the saved ``state_dict``.
        groups: (name, shape, dtype) of each parameter of each group at save; None for files of another trainer, whose
            parameters are known by their place only.
        model: the target model, for the names.
        optimizer: the target optimizer.

    Raises:
        BackendError: the model lacks a parameter, or has it in another shape; without names: other groups, or options
            that belong to another optimizer.
    """
    counts = [len(group["params"]) for group in state["param_groups"]]
    if groups is not None:
        own = _by_name(groups, model)
    else:
        own = [list(group["params"]) for group in optimizer.param_groups]
    if counts != [len(group) for group in own]:
        message = f"optimizer: saved with {counts} parameters per group, the target has {[len(g) for g in own]}"
        raise BackendError(message, hint="build the optimizer over the same parameters and groups")
    if groups is None:
        _fit_options(state["param_groups"], optimizer)
    names = {id(value): name for name, value in tensors_with_identity(model)}
    parameters = [parameter for group in own for parameter in group]
    places = [place for group in state["param_groups"] for place in group["params"]]
    for place, parameter in zip(places, parameters, strict=True):
        for key, value in state["state"].get(place, {}).items():
            if key in _LIKE_PARAMETER and hasattr(value, "shape") and value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)}, the parameter of the target {tuple(parameter.shape)}"
                name = names.get(id(parameter), place)
                raise BackendError(f"optimizer: {key!r} of parameter {name!r} has shape {shapes}")
    return own


def _by_name(groups: Any, model: Any) -> list[list[Any]]:
    own = dict(tensors_with_identity(model))
    strange = []
    for name, *form in (entry for group in groups for entry in group):
        have = group_entry(own[name]) if name in own else None
        if have != form:
            has = "none" if have is None else " ".join(map(str, have))
            strange.append(f"{name} {' '.join(map(str, form))}, target {has}")
    if strange:
        hint = "build the target as it was when the checkpoint was saved"
        message = listed("trained parameters that the model does not have", strange)
        raise BackendError(f"optimizer: {message}", hint=hint)
    return [[own[entry[0]] for entry in group] for group in groups]


def _fit_options(groups: Sequence[Mapping[str, Any]], optimizer: Any) -> None:
    for saved, own in zip(groups, optimizer.param_groups, strict=True):
        strange = sorted((set(saved) ^ set(own)) - _OPTIONAL)
        # Adam and AdamW differ in this option alone, and the loaded one would win.
        switch = "decoupled_weight_decay"
        if not strange and saved.get(switch, own.get(switch)) != own.get(switch):
            strange = [switch]
        if strange:
            message = f"optimizer: {listed('options of the saved state do not belong to', strange)}"
            raise BackendError(f"{message} ({class_of(optimizer)})", hint="build the optimizer that was saved")


def put(optimizer: Any, state: Any, groups: Sequence[Sequence[Any]]) -> Action:
    """Return the action that gives an optimizer its groups and its state."""

    def act() -> Callable[[], None]:
        before = {"state": optimizer.state, "param_groups": optimizer.param_groups}
        had = list(optimizer.param_groups)
        own = [list(group["params"]) for group in had]

        def undo() -> None:
            before["param_groups"][:] = had
            for group, parameters in zip(had, own, strict=True):
                group["params"][:] = parameters
            optimizer.__setstate__(before)

        with undone(undo):
            _regroup(optimizer, state["param_groups"], groups)
            optimizer.load_state_dict(state)
            _undo_casts(optimizer, state)
        return undo

    return act


def _regroup(optimizer: Any, saved: Sequence[Any], groups: Sequence[Sequence[Any]]) -> None:
    del optimizer.param_groups[len(groups) :]
    for group, parameters in zip(optimizer.param_groups, groups, strict=False):
        group["params"][:] = parameters
    for index in range(len(optimizer.param_groups), len(groups)):
        optimizer.add_param_group({**saved[index], "params": list(groups[index])})


def _undo_casts(optimizer: Any, state: Any) -> None:
    """Put back state of another dtype than its parameter: torch casts, say, float32 moments of bfloat16 weights."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    places = [place for group in state["param_groups"] for place in group["params"]]
    for place, parameter in zip(places, parameters, strict=True):
        for key, value in state["state"].get(place, {}).items():
            now = optimizer.state[parameter].get(key)
            if hasattr(value, "dtype") and hasattr(now, "dtype") and now.dtype != value.dtype:
                optimizer.state[parameter][key] = value.to(now.device)
