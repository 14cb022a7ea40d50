"""Decides whether saved tensors and optimizer state belong to the target, before anything of the target is changed.

torch itself puts the state of an AdamW into an SGD, and moments of one shape on parameters of another, without a word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_safetensors.capture import class_of, parameters_of, tensors_with_identity
from ckptkit_safetensors.digests import digest_state
from ckptkit_safetensors.tensors import TensorSet, collect, describe, is_array

_SHOWN = 5
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


def fit_tensors(saved: TensorSet, target: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the saved tensor for every name of the target.

    Raises:
        BackendError: names, shapes, dtypes or ties differ; the message lists the first few and counts them all.
    """
    wanted = collect(target, what)
    names, have = wanted.names(), set(saved.names())
    tied = _groups(wanted)
    source = {n: next((m for m in tied[wanted.aliases.get(n, n)] if m in have), None) for n in names}
    findings = [
        _listed("missing in the checkpoint", [repr(n) for n in names if source[n] is None]),
        _listed("not in the target", [repr(n) for n in saved.names() if n not in source]),
        _listed("of another shape", [_differs(n, saved, wanted, 0) for n in names if _compare(n, saved, wanted, 0)]),
        _listed("of another dtype", [_differs(n, saved, wanted, 1) for n in names if _compare(n, saved, wanted, 1)]),
    ]
    fixed = [repr(name) for name, value in wanted.tensors.items() if _cannot_be_written(value)]
    findings.append(_listed("read-only or expanded in the target", fixed))
    problems = "; ".join(text for text in findings if text)
    if problems:
        hint = "build the target as it was when the checkpoint was saved"
        raise BackendError(f"{what}: the checkpoint does not fit the target: {problems}", hint=hint)
    _fit_ties(saved, wanted, what)
    return {name: saved[part] for name, part in source.items() if part is not None}


def _fit_ties(saved: TensorSet, wanted: TensorSet, what: str) -> None:
    apart = [n for n, holder in saved.aliases.items() if wanted.aliases.get(n, n) != wanted.aliases.get(holder, holder)]
    if apart:
        message = f"{what}: {_listed('tied in the checkpoint but not in the target', [repr(n) for n in apart])}"
        raise BackendError(message, hint="tie the weights of the target before loading")
    for holder, group in _groups(wanted).items():
        held = [n for n in group if n in saved.tensors]
        if len({digest_state(saved.tensors[n]) for n in held} if len(held) > 1 else held) > 1:
            raise BackendError(f"{what}: {holder!r} is tied in the target, but the checkpoint holds different values")


def _cannot_be_written(value: Any) -> bool:
    if is_array(value):
        return not value.flags.writeable
    return any(step == 0 and side > 1 for step, side in zip(value.stride(), value.shape, strict=True))


def _groups(tensors: TensorSet) -> dict[str, list[str]]:
    groups = {name: [name] for name in tensors.tensors}
    for alias, name in tensors.aliases.items():
        groups[name].append(alias)
    return groups


def _compare(name: str, saved: TensorSet, wanted: TensorSet, what: int) -> bool:
    known = name in saved.tensors or name in saved.aliases
    return known and describe(saved[name])[what] != describe(wanted[name])[what]


def _differs(name: str, saved: TensorSet, wanted: TensorSet, what: int) -> str:
    return f"{name!r} ({describe(saved[name])[what]}, target {describe(wanted[name])[what]})"


def _listed(what: str, entries: Sequence[str]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return f"{len(entries)} {what}: {', '.join(entries[:_SHOWN])}{more}"


def fit_class(part: str, recorded: object, target: Any) -> None:
    """Raise BackendError if the checkpoint says that the part was of another class than the target's.

    Where in its package a class lives may change between versions; package and name may not.
    """
    now = class_of(target)
    if isinstance(recorded, str) and not _one_class(recorded, now):
        message = f"{part}: the checkpoint was saved from {recorded}, the target is a {now}"
        raise BackendError(message, hint=f"build the same {part} as the run that saved it")


def _one_class(saved: str, now: str) -> bool:
    packages = {saved.partition(".")[0], now.partition(".")[0]}  # a script is `__main__` when it runs, else a module
    return saved.rpartition(".")[2] == now.rpartition(".")[2] and (len(packages) == 1 or "__main__" in packages)


def fit_keys(part: str, state: Any, target: Any) -> None:
    """Raise BackendError unless scheduler or scaler state has the public fields that the target's own state has.

    Private ones change with the version of torch.
    """
    if not isinstance(state, dict):
        raise BackendError(f"{part}: the saved state is a {type(state).__name__}, not a dict")
    differing = sorted(key for key in {*map(str, state)} ^ {*map(str, target.state_dict())} if not key.startswith("_"))
    if differing:
        hint = f"build the same {part} as the run that saved it"
        raise BackendError(f"{part}: {_listed('fields differ from those of the target', differing)}", hint=hint)


def fit_optimizer(state: Mapping[str, Any], groups: object, model: Any, optimizer: Any) -> list[list[Any]] | None:
    """Check that every parameter gets its own state back.

    Args:
        state: the saved ``state_dict``.
        groups: (name, shape, dtype) of each parameter of each group at save; None for files of another trainer.
        model: the target model, for the names.
        optimizer: the target optimizer.

    Returns:
        None, or where the run regrouped its parameters on the way (``add_param_group``, or by hand), the parameters of
        each of its groups.

    Raises:
        BackendError: other groups, another order, other shapes, or options that belong to another optimizer.
    """
    names = {id(value): name for name, value in tensors_with_identity(model)}
    now = [[[names.get(id(p)), *_as_json(p)] for p in group["params"]] for group in optimizer.param_groups]
    counts = [len(group["params"]) for group in state["param_groups"]]
    regrouped = _regrouped(groups, now, model) if groups is not None else None
    if regrouped is None and counts != [len(group) for group in now]:
        message = f"optimizer: saved with {counts} parameters per group, the target has {[len(g) for g in now]}"
        raise BackendError(message, hint="build the optimizer over the same parameters and groups")
    if regrouped is None and groups is not None:
        _fit_order(groups, now)
    elif groups is None:
        _fit_options(state["param_groups"], optimizer)
    own = regrouped or [group["params"] for group in optimizer.param_groups]
    parameters = [parameter for group in own for parameter in group]
    places = [place for group in state["param_groups"] for place in group["params"]]
    for place, parameter in zip(places, parameters, strict=True):
        for key, value in state["state"].get(place, {}).items():
            if key in _LIKE_PARAMETER and hasattr(value, "shape") and value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)}, the parameter of the target {tuple(parameter.shape)}"
                name = names.get(id(parameter), place)
                raise BackendError(f"optimizer: {key!r} of parameter {name!r} has shape {shapes}")
    return regrouped


def _regrouped(groups: Any, now: list[list[list[Any]]], model: Any) -> list[list[Any]] | None:
    """Return the parameters of the saved groups, if the target's groups can have become them on the way.

    A group may have got more parameters at its end, or lost some; new groups may have come after the others.
    """
    if not isinstance(groups, list) or len(groups) < len(now) or groups == now:
        return None
    heads = [*now, *([] for _ in range(len(groups) - len(now)))]
    if not all(group[: len(head)] == head or _in_order(group, head) for group, head in zip(groups, heads, strict=True)):
        return None
    own = dict(tensors_with_identity(model))
    entries = [entry for group in groups for entry in group]
    if len({entry[0] for entry in entries}) < len(entries):
        return None
    if any(entry[0] not in own or entry[1:] != _as_json(own[entry[0]]) for entry in entries):
        return None
    return [[own[entry[0]] for entry in group] for group in groups]


def _in_order(some: list[Any], every: list[Any]) -> bool:
    """Return whether a list is another one with some entries left out."""
    rest = iter(every)
    return all(entry in rest for entry in some)


def _as_json(parameter: Any) -> list[Any]:
    shape, dtype = describe(parameter)
    return [list(shape), dtype]


def _fit_order(groups: Any, now: list[list[list[Any]]]) -> None:
    if groups == now:
        return
    saved = [tuple(map(str, entry if isinstance(entry, list) else [entry])) for group in groups for entry in group]
    have = [tuple(map(str, entry)) for group in now for entry in group]
    pairs = [(a, b) for a, b in zip(saved, have, strict=False) if a != b]
    entries = [f"{' '.join(a)}, target {' '.join(b)}" for a, b in pairs]
    hint = "pass the parameters in the same order, for example model.parameters()"
    raise BackendError(f"optimizer: {_listed('parameters in another place or shape', entries)}", hint=hint)


def _fit_options(groups: Sequence[Mapping[str, Any]], optimizer: Any) -> None:
    for saved, own in zip(groups, optimizer.param_groups, strict=True):
        strange = sorted((set(saved) ^ set(own)) - _OPTIONAL)
        # Adam and AdamW differ in this option alone, and the loaded one would win.
        switch = "decoupled_weight_decay"
        if not strange and saved.get(switch, own.get(switch)) != own.get(switch):
            strange = [switch]
        if strange:
            message = f"optimizer: {_listed('options of the saved state do not belong to', strange)}"
            raise BackendError(f"{message} ({class_of(optimizer)})", hint="build the optimizer that was saved")


def fit_gradients(saved: TensorSet, model: Any) -> dict[str, Any]:
    """Return the saved gradients by parameter name; raises BackendError if one fits no parameter of the target."""
    parameters = parameters_of(model)
    strange = [repr(n) for n in saved.names() if n not in parameters or saved[n].shape != parameters[n].shape]
    if strange:
        raise BackendError(f"gradients: {_listed('fit no parameter of the target', strange)}")
    return {name: saved[name] for name in saved.names()}
