"""Takes the state out of live objects, without copying it yet, and refuses what could not be put back."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptkit.errors import BackendError, DamagedError, UsageError
from ckptkit.formats import strict_json
from ckptkit_safetensors.built import capture_changed
from ckptkit_safetensors.draws import drawing
from ckptkit_safetensors.kinds import is_module, is_tensor, is_tensor_dict
from ckptkit_safetensors.lazies import is_lazy
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.modules import SINCE, ModuleState, large_attributes
from ckptkit_safetensors.policy import Policy
from ckptkit_safetensors.tensors import TensorSet, collect, describe, is_array

CONFIGS = ("preprocessor", "postprocessor", "extra")
STATES = ("optimizer", "scheduler", "scaler")


@dataclass(slots=True, eq=False)
class Snapshot:
    """The state of an item, apart from the objects it came from.

    Attributes:
        kind: ``policy``, ``module`` or ``tensors``: what the item was.
        model: tensors of the model.
        ema: tensors of the moving average, if the item has one.
        gradients: pending gradients by parameter name; None when none are pending or they were not wanted.
        states: ``state_dict`` of optimizer, scheduler and scaler, those that the item has.
        configs: JSON values of preprocessor, postprocessor and extra, those that the item has.
        record: what a load compares before it puts anything back: classes, and the parameters of the optimizer.
        modules: what the modules hold beside parameters and buffers; None for a dict of tensors.
        hazards: one line each.
        draws: which module draws from the generators of the process while it trains, if one is known to.
        trains: whether some parameter of the model is trained.
        example: tensors of the example input, by position ("0", "1") or keyword.
        output: digest of the model's output on it, or why there is none.
    """

    kind: str
    model: TensorSet
    ema: TensorSet | None = None
    gradients: TensorSet | None = None
    states: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    modules: ModuleState | None = None
    hazards: list[str] = field(default_factory=list)
    draws: str = ""
    trains: bool = False
    example: TensorSet | None = None
    output: Mapping[str, Any] | None = None

    def exchanged(self) -> list[str]:
        """Return the parts of which a new process has others, because training exchanged them."""
        return list(self.modules.record.get(SINCE, {}).get("parts", ())) if self.modules is not None else []

    def versions(self) -> list[int]:
        """Return how often each tensor was changed in place, as torch counts it; it does not count all ways."""
        held = self.modules.tensors if self.modules is not None else None
        sets = [part.tensors for part in (self.model, self.ema, self.gradients, held) if part is not None]
        held_in = _tensors_in([*sets, self.states])
        return [value._version for value in held_in if not is_array(value) and not value.is_inference()]


class _Bare(Policy):
    """A bare module or dict as a bundle, made anew at each save: what the program built is not known."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Look at nothing."""


def as_policy(item: Any) -> tuple[str, Policy]:
    """Return (kind, the item as a bundle); raises BackendError for anything that is not an item of this backend."""
    if isinstance(item, Policy):
        for name in ("model", "ema"):
            part = getattr(item, name)
            if not is_module(part) and not is_tensor_dict(part) and not (name == "ema" and part is None):
                raise BackendError(f"Policy.{name} is a {class_of(part)}, not a module or a flat dict of tensors")
        for name in STATES:
            part = getattr(item, name)
            needed = ("state_dict", "load_state_dict", *(["param_groups"] if name == "optimizer" else []))
            if part is not None and not all(hasattr(part, attribute) for attribute in needed):
                raise BackendError(f"Policy.{name} is a {class_of(part)}, which lacks one of {', '.join(needed)}")
        return "policy", item
    if is_module(item):
        return "module", _Bare(model=item, gradients=False)
    if is_tensor_dict(item):
        return "tensors", _Bare(model=item, gradients=False)
    hint = "hand over a Policy, a torch.nn.Module or a flat dict of tensors"
    raise BackendError(f"the safetensors backend cannot save a {type(item).__name__}", hint=hint)


def capture(item: Any) -> Snapshot:
    """Take the state out of a live item; tensors are referenced, not copied.

    Raises:
        BackendError: something in it cannot be saved; the message names it.
    """
    kind, policy = as_policy(item)
    model = collect(tensors_of(policy.model), "model")
    captured = Snapshot(kind=kind, model=model)
    if kind != "tensors":
        captured.modules = capture_changed(policy)
        captured.hazards += large_attributes(captured.modules, model.nbytes())
    captured.trains = kind != "tensors" and any(p.requires_grad for p in parameters_of(policy.model).values())
    captured.record = {"kind": kind, "model": class_of(policy.model)}
    if policy.ema is not None:
        captured.ema = collect(tensors_of(policy.ema), "ema")
        captured.record["ema"] = class_of(policy.ema)
    for name in STATES:
        part = getattr(policy, name)
        if part is not None:
            if name == "optimizer":
                captured.record["parameters"] = _named_groups(policy)
            captured.states[name] = part.state_dict()
            captured.record[name] = class_of(part)
    if policy.optimizer is not None:
        captured.draws = drawing(policy.model)
    for name in CONFIGS:
        value = getattr(policy, name)
        if value is not None:
            captured.configs[name] = _json(name, value)
    _capture_gradients(captured, policy)
    _scaler_hazard(captured, policy.scaler)
    return captured


def tensors_of(part: Any) -> Mapping[str, Any]:
    """Return the named tensors of a module (those of its ``state_dict``, with a shape) or of a dict of tensors."""
    if not is_module(part):
        return dict(part)
    return {name: value for name, value in part.state_dict().items() if is_tensor(value) and not is_lazy(value)}


def parameters_of(model: Any) -> dict[str, Any]:
    """Return the named parameters of a module, tied ones once, or the trained tensors of a dict."""
    if is_module(model):
        return dict(model.named_parameters())
    return {name: value for name, value in model.items() if getattr(value, "requires_grad", False) and value.is_leaf}


def class_of(part: Any) -> str:
    """Return ``module.QualifiedName`` of the object's class."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def portable(value: Any) -> Any:
    """Return nested state with every tensor in main memory, detached, alone in its storage; containers are new."""
    kind = type(value)
    if kind in (dict, list, tuple) or kind.__name__ in ("OrderedDict", "Counter"):
        if isinstance(value, dict):
            return kind({key: portable(entry) for key, entry in value.items()})
        return kind(portable(entry) for entry in value)
    if any(c.__module__ == "torch" and c.__name__ == "Tensor" for c in kind.__mro__):
        plain = value.detach().cpu()
        owns = plain.layout != lazy_import("torch").strided or plain.untyped_storage().nbytes() == plain.nbytes
        return plain if owns else plain.clone()
    return value


def _tensors_in(value: Any) -> Iterator[Any]:
    if is_tensor(value):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors_in(entry)


def _named_groups(policy: Policy) -> list[list[list[Any]]]:
    """Return (name, shape, dtype) of each parameter of each group of the optimizer, in its own order."""
    names = {id(value): name for name, value in tensors_with_identity(policy.model)}
    groups: list[list[list[Any]]] = []
    for index, group in enumerate(policy.optimizer.param_groups):
        entries = []
        for place, parameter in enumerate(group["params"]):
            name = names.get(id(parameter))
            if name is None:
                hint = "put all trained modules into one module (torch.nn.ModuleDict) and save that"
                message = f"parameter {place} of group {index} of the optimizer, shape {tuple(parameter.shape)}"
                raise BackendError(f"{message}, is not in the model: its value would be lost", hint=hint)
            entries.append([name, *group_entry(parameter)])
        groups.append(entries)
    _refuse_strays(policy.optimizer, names)
    return groups


def group_entry(parameter: Any) -> list[Any]:
    """Return (shape, dtype) of a parameter of an optimizer; one that is lazy has no shape yet."""
    if is_lazy(parameter):
        return [None, str(parameter.dtype)]
    shape, dtype = describe(parameter)
    return [list(shape), dtype]


def _refuse_strays(optimizer: Any, names: Mapping[int, str]) -> None:
    """Refuse what an optimizer's own ``state_dict`` cannot say: a parameter in two places, or state of one in none."""
    every = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    double = next((parameter for parameter, count in Counter(every).items() if count > 1), None)
    if double is not None:
        message = f"optimizer: parameter {names.get(double)!r} is in its groups twice"
        raise BackendError(message, hint="put each parameter into one group, once")
    grouped = set(every)
    stray = next((key for key in optimizer.state if is_tensor(key) and id(key) not in grouped), None)
    if stray is not None:
        message = f"optimizer: holds state of {names.get(id(stray), 'a tensor')!r}, which is in none of its groups"
        raise BackendError(message, hint="when a parameter leaves its group: optimizer.state.pop(parameter, None)")


def tensors_with_identity(model: Any) -> list[tuple[str, Any]]:
    """Return (name, the very object) of all parameters of a module, or of all tensors of a dict."""
    return list(model.named_parameters()) if is_module(model) else list(model.items())


def _json(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise BackendError(f"Policy.{name} is a {type(value).__name__}, not a mapping of JSON values")
    try:
        return strict_json.loads(strict_json.dumps(value))  # as a load will give it back, and apart from the live one
    except UsageError as error:
        raise BackendError(f"Policy.{name}: {error.message.removeprefix('$.')}", hint=error.hint) from error
    except DamagedError as error:
        raise BackendError(f"Policy.{name}: {error}") from error


def _capture_gradients(captured: Snapshot, policy: Policy) -> None:
    pending = {name: p.grad for name, p in parameters_of(policy.model).items() if p.grad is not None}
    if pending and policy.gradients:
        captured.gradients = collect(pending, "gradient of")
    elif pending and captured.kind == "policy":
        whose = "1 parameter" if len(pending) == 1 else f"{len(pending)} parameters"
        captured.hazards.append(f"pending gradients of {whose} are not saved (gradients=False)")


def _scaler_hazard(captured: Snapshot, scaler: Any) -> None:
    # GradScaler keeps "already unscaled" and "already stepped" per optimizer outside its state_dict.
    states = getattr(scaler, "_per_optimizer_states", {}) or {}
    if any(getattr(state.get("stage"), "name", "READY") != "READY" for state in states.values()):
        captured.hazards.append("saved between scaler.unscale_() or step() and scaler.update(): save after update()")
