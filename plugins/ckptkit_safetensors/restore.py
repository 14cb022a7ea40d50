"""Puts saved state into live objects: everything is compared first, and taken back if anything still fails."""

from collections.abc import Callable, Collection, Iterator, MutableMapping, Sequence, Set
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, CkptkitError
from ckptkit.formats import strict_json
from ckptkit_safetensors import fit, item_record, lazies, modules_restore, optimizers, remodel, states, tensors
from ckptkit_safetensors.capture import CONFIGS, STATES, as_policy, parameters_of, tensors_of
from ckptkit_safetensors.kinds import is_module
from ckptkit_safetensors.layouts import Layout
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.modules import SINCE, ModuleState, capture_modules, differences, names_of_groups
from ckptkit_safetensors.policy import Policy
from ckptkit_safetensors.tensors import TensorSet, is_array
from ckptkit_safetensors.undoing import Action, in_turn, undone


@dataclass(slots=True, eq=False)
class Stored:
    """What the files of an item hold."""

    model: TensorSet
    record: dict[str, Any]
    ema: TensorSet | None = None
    gradients: TensorSet | None = None
    states: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    modules: ModuleState | None = None

    def plain(self) -> Any:
        """Return everything without any object of ours: see ``SafetensorsBackend.load`` with no target."""
        model = _owned(self.model)
        if self.record.get("kind") == "tensors":
            return model
        result: dict[str, Any] = {"model": model, **self.states, **self.configs}
        if self.ema is not None:
            result["ema"] = _owned(self.ema)
        if self.gradients is not None:
            result["gradients"] = _owned(self.gradients)
        return result


def read(directory: Path, layout: Layout, files: Collection[str]) -> Stored:
    """Read all parts, of the item's files; raises DamagedError or UnsafeContentError, naming the file."""
    model, header = tensors.read([directory / name for name in layout.model])
    record = item_record.of_item(directory, files, header)
    stored = Stored(model, record, modules=modules_restore.read(directory, layout.parts))
    for part, name in layout.parts.items():
        path = directory / name
        if part == "ema":
            stored.ema = tensors.read([path])[0]
        elif part == "gradients":
            stored.gradients = tensors.read([path])[0]
        elif part in STATES:
            stored.states[part] = states.read(path)
        elif part in CONFIGS:
            stored.configs[part] = strict_json.load(path)
    if "optimizer" in stored.states:
        states.check_optimizer_state(stored.states["optimizer"], layout.parts["optimizer"])
    return stored


def put(stored: Stored, target: Any, notes: list[str] | None = None) -> None:
    """Put everything into the target, or nothing.

    Args:
        stored: what the files hold.
        target: the live item.
        notes: gets one line for each thing that was left as it is, or changed beyond its values.

    Raises:
        BackendError: it does not fit; the target is unchanged.
    """
    kind, policy = as_policy(target)
    # From a whole policy a bare module takes the weights only.
    modules = stored.modules if kind == stored.record.get("kind", kind) or kind == "policy" else None
    told = _regrouped(stored, modules, policy)
    undo: list[Callable[[], None]] = []
    try:
        # Each plan looks at what the actions before it made of the target.
        for planned in _plans(stored, kind, policy, modules, told):
            for act in planned:
                undo.append(act())
    except BaseException as error:
        for step in reversed(undo):
            step()
        if isinstance(error, CkptkitError) or not isinstance(error, Exception):
            raise
        raise BackendError(f"the state was refused by the target ({error}); it is unchanged") from error
    if notes is not None:
        notes += told


def _plans(
    stored: Stored, kind: str, policy: Policy, modules: ModuleState | None, told: list[str]
) -> Iterator[list[Action]]:
    """Yield the actions in the order of their doing: those on the structure first, and then all values."""
    yield _lazy(stored, policy)
    made: set[int] = set()
    if modules is not None:
        yield remodel.plan(modules, policy, made)
        yield modules_restore.plan_made(modules, policy, made)
    yield _late_buffers(stored, policy)
    yield _plan(stored, kind, policy, modules, made, told)


def _plan(
    stored: Stored, kind: str, policy: Policy, modules: ModuleState | None, made: set[int], told: list[str]
) -> list[Action]:
    """Compare everything with a target that has the structure of what was saved, and return what puts it in."""
    parts = [(policy.model, fit.fit_tensors(stored.model, tensors_of(policy.model), "model"))]
    actions: list[Action] = []
    if kind == "policy":
        without = remodel.left_out(modules, policy)
        _same_parts(stored, policy, without)
        actions = [*_states(stored, policy, without), *_configs(stored, policy)]
        if stored.ema is not None and "ema" not in without:
            parts.append((policy.ema, fit.fit_tensors(stored.ema, tensors_of(policy.ema), "ema")))
        actions.append(_gradients(stored.gradients, policy.model))
    revocable = modules is not None or any(_loads_itself(part) for part, _ in parts)
    for name, (part, values) in zip(("model", "ema"), parts, strict=False):
        if is_module(part):
            values |= modules_restore.extra_entries(modules, policy, name)
            values |= {name: value for name, value in part.state_dict().items() if lazies.is_lazy(value)}
        actions.append(_model(values, part, revocable=revocable))
    if modules is not None:
        writes, left = modules_restore.plan(modules, policy, made)
        told += left
        actions.append(in_turn(writes, lambda: _arrived(modules, policy, left)))
    return actions


def _lazy(stored: Stored, policy: Policy) -> list[Action]:
    parts = ((policy.model, stored.model), (policy.ema, stored.ema))
    return [act for part, saved in parts if saved is not None and is_module(part) for act in lazies.settle(part, saved)]


def _late_buffers(stored: Stored, policy: Policy) -> list[Action]:
    """Fill each buffer that the saved module had filled, and that the target has as None yet."""
    found = []
    for part, saved in (("model", stored.model), ("ema", stored.ema)):
        root = getattr(policy, part)
        if saved is None or not is_module(root):
            continue
        modules = dict(root.named_modules())
        device = next((p.device for p in root.parameters()), "cpu")
        for full in saved.names():
            path, _, name = full.rpartition(".")
            own = modules[path]._buffers if path in modules else {}
            if name in own and own[name] is None and not is_array(saved[full]):
                empty = lazy_import("torch").empty_like(saved[full], device=device)
                found.append(modules_restore.set_entry(own, name, empty))
    return found


def _arrived(modules: ModuleState, policy: Policy, left: Sequence[str]) -> None:
    places = [line.partition(":")[0] for line in left]
    now = differences(modules, capture_modules(policy))
    lost = [place for place in now if not any(within.startswith(place) for within in places)]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        hint = "a property or a hook of the module changes it; restore into the bare module takes the weights only"
        raise BackendError(f"{lost[0]}: is not what was put there{more}", hint=hint)


def _regrouped(stored: Stored, modules: ModuleState | None, policy: Policy) -> list[str]:
    """Return a line if the optimizer is about to lose groups that the program at the time of the save did not build."""
    saved = stored.record.get("parameters")
    if policy.optimizer is None or saved is None or "optimizer" not in stored.states:
        return []
    built = modules.record.get(SINCE, {}).get("groups") if modules is not None else None
    now, groups = names_of_groups(policy), [[entry[0] for entry in group] for group in saved]
    if now in (groups, built):
        return []
    return [f"optimizer: has the parameter groups of the checkpoint ({_told(groups)}), not its own ({_told(now)})"]


def _told(groups: Sequence[Sequence[Any]]) -> str:
    return f"{' + '.join(str(len(group)) for group in groups) or 'no'} parameters"


def _same_parts(stored: Stored, policy: Policy, without: Set[str]) -> None:
    saved = {*stored.states, *(["ema"] if stored.ema is not None else [])}
    for part in ("optimizer", "scheduler", "scaler", "ema"):
        if part in without:
            continue
        wanted = getattr(policy, part) is not None
        if wanted and part not in saved:
            hint = f"leave Policy.{part} out to start it anew on purpose"
            raise BackendError(f"{part}: the target has one, but the checkpoint holds no state for it", hint=hint)
        if part in saved and not wanted:
            hint = "give it to the Policy, or load into the bare module to take only the weights"
            raise BackendError(f"{part}: the checkpoint holds its state, but the target Policy has none", hint=hint)
    for part in CONFIGS:
        if getattr(policy, part) is not None and part not in stored.configs:
            raise BackendError(f"{part}: the target has one, but the checkpoint holds none")


def _states(stored: Stored, policy: Policy, without: Set[str]) -> list[Action]:
    record = stored.record
    actions: list[Action] = []
    for part, state in stored.states.items():
        target = getattr(policy, part)
        if part in without:
            continue
        fit.fit_class(part, record.get(part), target)
        if part == "optimizer":
            groups = optimizers.fit_optimizer(state, record.get("parameters"), policy.model, target)
            actions.append(optimizers.put(target, state, groups))
        else:
            fit.fit_keys(part, state, target)
            actions.append(_simple_state(target, state))
    if stored.ema is not None and "ema" not in without:
        fit.fit_class("ema", record.get("ema"), policy.ema)
    return actions


def _simple_state(part: Any, state: Any) -> Action:
    def act() -> Callable[[], None]:
        before = deepcopy(part.state_dict())

        def undo() -> None:
            part.load_state_dict(before)

        with undone(undo):
            part.load_state_dict(state)
        return undo

    return act


def _model(values: dict[str, Any], target: Any, *, revocable: bool) -> Action:
    def act() -> Callable[[], None]:
        own = tensors_of(target)
        before = {name: _copy(value) for name, value in own.items()} if revocable else {}

        def undo() -> None:
            _copy_all(before, own)

        with undone(undo):
            if is_module(target):
                target.load_state_dict({name: _tensor(value) for name, value in values.items()}, strict=True)
            else:
                _copy_all(values, own)
        return undo

    return act


def _gradients(saved: TensorSet | None, model: Any) -> Action:
    torch = lazy_import("torch")
    parameters = parameters_of(model)
    grads = dict.fromkeys(parameters)
    for name, value in fit.fit_gradients(saved, model).items() if saved is not None else ():
        grads[name] = torch.empty_like(parameters[name], dtype=value.dtype, requires_grad=False).copy_(value)

    def act() -> Callable[[], None]:
        before = {name: parameter.grad for name, parameter in parameters.items()}
        _assign(parameters, grads)
        return lambda: _assign(parameters, before)

    return act


def _assign(parameters: dict[str, Any], grads: dict[str, Any]) -> None:
    for name, grad in grads.items():
        parameters[name].grad = grad


def _configs(stored: Stored, policy: Policy) -> list[Action]:
    return [_config(policy, part, value) for part, value in stored.configs.items()]


def _config(policy: Policy, part: str, value: Any) -> Action:
    def act() -> Callable[[], None]:
        own = getattr(policy, part)
        before = dict(own) if isinstance(own, MutableMapping) else None

        def undo() -> None:
            setattr(policy, part, own)
            if before is not None:
                own.clear()
                own.update(before)

        with undone(undo):
            if before is None:
                setattr(policy, part, value)
            else:
                own.clear()
                own.update(value)
        return undo

    return act


def _loads_itself(part: Any) -> bool:
    """Return whether loading runs code that is not torch's own: once the state fits, only such code can still fail."""
    if not is_module(part):
        return False
    hooks = ("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")
    return any(
        not type(module)._load_from_state_dict.__module__.startswith("torch.")
        or not type(module).load_state_dict.__module__.startswith("torch.")
        or any(getattr(module, hook, None) for hook in hooks)
        for module in part.modules()
    )


def _copy(value: Any) -> Any:
    return value.copy() if is_array(value) else value.detach().clone()


def _copy_all(values: dict[str, Any], own: Any) -> None:
    with lazy_import("torch").no_grad() if not all(map(is_array, own.values())) else nullcontext():
        for name, value in values.items():
            if is_array(own[name]):
                own[name][...] = value if is_array(value) else value.numpy()
            else:
                own[name].copy_(_tensor(value))


def _tensor(value: Any) -> Any:
    return lazy_import("torch").from_numpy(value.copy()) if is_array(value) else value


def _owned(saved: TensorSet) -> dict[str, Any]:
    """Return all names with values of their own memory, tied names with the same object."""
    kept = {name: _copy(value) for name, value in saved.tensors.items()}
    return {**kept, **{alias: kept[name] for alias, name in saved.aliases.items()}}
