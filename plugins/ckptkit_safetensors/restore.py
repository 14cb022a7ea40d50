"""Puts saved state into live objects: everything is compared first, and taken back if anything still fails."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, CkptkitError
from ckptkit.formats import strict_json
from ckptkit_safetensors import fit, modules_restore, states, tensors
from ckptkit_safetensors.capture import CONFIGS, STATES, as_policy, parameters_of, tensors_of
from ckptkit_safetensors.frameworks import need
from ckptkit_safetensors.layouts import Layout
from ckptkit_safetensors.modules import ModuleState, capture_modules, differences
from ckptkit_safetensors.policy import Policy, is_module
from ckptkit_safetensors.tensors import TensorSet, is_array

Action = Callable[[], Callable[[], None]]
"""Changes the target and returns how to take that back."""


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


def read(directory: Path, layout: Layout) -> Stored:
    """Read all parts; raises DamagedError or UnsafeContentError, naming the file."""
    model, record = tensors.read([directory / name for name in layout.model])
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


def put(stored: Stored, target: Any) -> None:
    """Put everything into the target, or nothing.

    Raises:
        BackendError: it does not fit; the target is unchanged.
    """
    kind, policy = as_policy(target)
    late = [*_late_buffers(stored.model, policy.model), *_late_buffers(stored.ema, policy.ema)]
    parts = [(policy.model, fit.fit_tensors(stored.model, _with(late, policy.model), "model"))]
    actions: list[Action] = []
    if kind == "policy":
        _same_parts(stored, policy)
        actions = [*_states(stored, policy), *_configs(stored, policy)]
        if stored.ema is not None:
            parts.append((policy.ema, fit.fit_tensors(stored.ema, _with(late, policy.ema), "ema")))
        actions.append(_gradients(stored.gradients, policy.model))
    actions += [modules_restore.set_entry(own, name, value) for _, _, own, name, value in late]
    # From a whole policy a bare module takes the weights only.
    modules = stored.modules if kind == stored.record.get("kind", kind) or kind == "policy" else None
    revocable = modules is not None or any(_loads_itself(part) for part, _ in parts)
    for name, (part, values) in zip(("model", "ema"), parts, strict=False):
        if is_module(part):
            values |= modules_restore.extra_entries(modules, policy, name)
        actions.append(_model(values, part, revocable=revocable))
    if modules is not None:
        actions.append(_all(modules_restore.plan(modules, policy), lambda: _arrived(modules, policy)))
    undo: list[Callable[[], None]] = []
    try:
        for action in actions:
            undo.append(action())
    except BaseException as error:
        for step in reversed(undo):
            step()
        if isinstance(error, CkptkitError) or not isinstance(error, Exception):
            raise
        raise BackendError(f"the state was refused by the target ({error}); it is as it was before") from error


def _late_buffers(saved: TensorSet | None, part: Any) -> list[tuple[Any, str, dict[str, Any], str, Any]]:
    """Return an empty tensor for each buffer that the saved module had filled, and the target has as None yet."""
    if saved is None or not is_module(part):
        return []
    modules, found = dict(part.named_modules()), []
    device = next((p.device for p in part.parameters()), "cpu")
    for full in saved.names():
        path, _, name = full.rpartition(".")
        own = modules[path]._buffers if path in modules else {}
        if name in own and own[name] is None and not is_array(saved[full]):
            found.append((part, full, own, name, need("torch").empty_like(saved[full], device=device)))
    return found


def _with(late: Sequence[tuple[Any, str, dict[str, Any], str, Any]], part: Any) -> dict[str, Any]:
    return {**tensors_of(part), **{full: value for owner, full, _, _, value in late if owner is part}}


def _all(writes: Sequence[Action], then: Callable[[], None]) -> Action:
    """Return one action of many: they are all taken back where one of them, or what comes then, fails."""

    def act() -> Callable[[], None]:
        done: list[Callable[[], None]] = []

        def undo() -> None:
            for step in reversed(done):
                step()

        with _undone(undo):
            done.extend(write() for write in writes)
            then()
        return undo

    return act


def _arrived(modules: ModuleState, policy: Policy) -> None:
    lost = differences(modules, capture_modules(policy))
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        hint = "a property or a hook of the module changes it; restore into the bare module takes the weights only"
        raise BackendError(f"{lost[0]}: is not what was put there{more}", hint=hint)


def _same_parts(stored: Stored, policy: Policy) -> None:
    saved = {*stored.states, *(["ema"] if stored.ema is not None else [])}
    for part in ("optimizer", "scheduler", "scaler", "ema"):
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


def _states(stored: Stored, policy: Policy) -> list[Action]:
    record = stored.record
    actions: list[Action] = []
    for part, state in stored.states.items():
        target = getattr(policy, part)
        fit.fit_class(part, record.get(part), target)
        if part == "optimizer":
            regrouped = fit.fit_optimizer(state, record.get("parameters"), policy.model, target)
            actions.append(_optimizer(target, state, regrouped))
        else:
            fit.fit_keys(part, state, target)
            actions.append(_simple_state(target, state))
    if stored.ema is not None:
        fit.fit_class("ema", record.get("ema"), policy.ema)
    return actions


def _optimizer(optimizer: Any, state: Any, regrouped: Sequence[Sequence[Any]] | None) -> Action:
    def act() -> Callable[[], None]:
        before = {"state": optimizer.state, "param_groups": optimizer.param_groups}
        own = [list(group["params"]) for group in optimizer.param_groups]

        def undo() -> None:
            del before["param_groups"][len(own) :]
            for group, parameters in zip(before["param_groups"], own, strict=True):
                group["params"][:] = parameters
            optimizer.__setstate__(before)

        with _undone(undo):
            _regroup(optimizer, state["param_groups"], regrouped or ())
            optimizer.load_state_dict(state)
            _undo_casts(optimizer, state)
        return undo

    return act


def _regroup(optimizer: Any, saved: Sequence[Any], groups: Sequence[Sequence[Any]]) -> None:
    """Give the optimizer the groups that the run gave it on its way (``add_param_group``, or by hand)."""
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


def _simple_state(part: Any, state: Any) -> Action:
    def act() -> Callable[[], None]:
        before = deepcopy(part.state_dict())

        def undo() -> None:
            part.load_state_dict(before)

        with _undone(undo):
            part.load_state_dict(state)
        return undo

    return act


def _model(values: dict[str, Any], target: Any, *, revocable: bool) -> Action:
    def act() -> Callable[[], None]:
        own = tensors_of(target)
        before = {name: _copy(value) for name, value in own.items()} if revocable else {}

        def undo() -> None:
            _copy_all(before, own)

        with _undone(undo):
            if is_module(target):
                target.load_state_dict({name: _tensor(value) for name, value in values.items()}, strict=True)
            else:
                _copy_all(values, own)
        return undo

    return act


def _gradients(saved: TensorSet | None, model: Any) -> Action:
    torch = need("torch")
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

        with _undone(undo):
            if before is None:
                setattr(policy, part, value)
            else:
                own.clear()
                own.update(value)
        return undo

    return act


@contextmanager
def _undone(undo: Callable[[], None]) -> Iterator[None]:
    """Take a step back if it fails half-way."""
    try:
        yield
    except BaseException:
        undo()
        raise


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
    with need("torch").no_grad() if not all(map(is_array, own.values())) else nullcontext():
        for name, value in values.items():
            if is_array(own[name]):
                own[name][...] = value if is_array(value) else value.numpy()
            else:
                own[name].copy_(_tensor(value))


def _tensor(value: Any) -> Any:
    return need("torch").from_numpy(value.copy()) if is_array(value) else value


def _owned(saved: TensorSet) -> dict[str, Any]:
    """Return all names with values of their own memory, tied names with the same object."""
    kept = {name: _copy(value) for name, value in saved.tensors.items()}
    return {**kept, **{alias: kept[name] for alias, name in saved.aliases.items()}}
