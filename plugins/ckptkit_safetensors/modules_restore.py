"""Puts back what modules hold besides their `state_dict`, and checks that it arrived."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit.formats import strict_json
from ckptkit_safetensors import tensors
from ckptkit_safetensors.kinds import is_module, is_tensor
from ckptkit_safetensors.layouts import FILES, MODULES_DEPTH
from ckptkit_safetensors.modules import ModuleState, roots_of
from ckptkit_safetensors.named import homes_of
from ckptkit_safetensors.not_state import is_of_torch
from ckptkit_safetensors.policy import Policy
from ckptkit_safetensors.putting import MISSING, Putter, Write


def read(directory: Path, parts: Mapping[str, str]) -> ModuleState | None:
    """Return what the files hold, or None if the item has none: an older format, or another trainer's files."""
    if "modules" not in parts:
        return None
    record = strict_json.load(directory / parts["modules"], max_depth=MODULES_DEPTH)
    if not isinstance(record, dict) or not all(isinstance(part, dict) for part in record.values()):
        raise DamagedError(f"{parts['modules']}: is not an object of parts")
    paths = [directory / parts["module_tensors"]] if "module_tensors" in parts else []
    return ModuleState(record, tensors.read(paths)[0])


def plan(state: ModuleState, policy: Policy, made: set[int]) -> tuple[list[Write], list[str]]:
    """Return the writes that make the modules and the optimizer of a policy what was saved, and what cannot be.

    Args:
        state: what was saved.
        policy: the target.
        made: ids of modules that this load made, and that have no attributes yet.

    Raises:
        DamagedError: the record is not what is written.
    """
    putter = _putter(state, policy, made)
    try:
        for part in ("model", "ema"):
            if part in state.record and is_module(getattr(policy, part)):
                _plan_tree(putter, getattr(policy, part), state.record[part], part)
        if "optimizer" in state.record and policy.optimizer is not None:
            for name, said in state.record["optimizer"]["attributes"]:
                _plan_attribute(putter, policy.optimizer, name, said, f"optimizer.{name}")
        while putter.modules:
            module, record, place = putter.modules.pop()
            _plan_tree(putter, module, record, place)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedError(f"{FILES['modules']}: is not what is written there ({error})") from error
    return putter.writes, putter.left


def plan_made(state: ModuleState, policy: Policy, made: set[int]) -> list[Write]:
    """Return the writes of the attributes of modules that this load made: loading values into them reads some."""
    putter = _putter(state, policy, made)
    try:
        for part, root in roots_of(policy).items() if made else ():
            modules = dict(root.named_modules())
            for path, name, said in state.record.get(part, {}).get("attributes", ()):
                before = len(putter.writes)
                if path in modules:
                    _plan_attribute(putter, modules[path], name, said, ".".join(filter(None, [part, path, name])))
                if id(modules.get(path)) not in made:
                    del putter.writes[before:]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedError(f"{FILES['modules']}: is not what is written there ({error})") from error
    return putter.writes


def _plan_tree(putter: Putter, root: Any, record: dict[str, Any], place: str) -> None:
    modules = dict(root.named_modules())
    for mode in ("train", "eval"):
        for path in record[mode]:
            if path in modules:
                putter.writes.append(_mode(modules[path], mode == "train"))
    frozen = set(record["frozen"])
    for name, parameter in root.named_parameters():
        if parameter.requires_grad == (name in frozen):
            putter.writes.append(_flag(parameter, name not in frozen))
    for path, name, said in record["attributes"]:
        if path in modules:
            _plan_attribute(putter, modules[path], name, said, ".".join(filter(None, [place, path, name])))
    for path, name, said in record["buffers"]:
        if path in modules and name in modules[path]._buffers:
            own = modules[path]._buffers
            new = putter.value(said, own[name], ".".join(filter(None, [place, path, name])))
            if new is not own[name]:
                putter.writes.append(set_entry(own, name, new))
    values = dict(root.state_dict(keep_vars=True)) if "tensors" in record else {}
    for name, said in record.get("tensors", ()):
        putter.value(said, values.get(name, MISSING), f"{place}.{name}")


def _plan_attribute(putter: Putter, item: Any, name: str, said: Any, place: str) -> None:
    have = vars(item).get(name, MISSING)
    if have is MISSING and is_of_torch(item) and id(item) not in putter.made:  # another version of torch has it not
        return
    new = putter.attempt(said, have, place)
    same = new is have or (type(new) is type(have) and type(new) in (int, float, str, bool) and new == have)
    if new is not MISSING and not same:
        putter.set_attribute(item, name, have, new)


def _mode(module: Any, training: bool) -> Write:
    def act() -> Callable[[], None]:
        before = module.training
        module.training = training  # of this module alone: train() would set all below it

        def undo() -> None:
            module.training = before

        return undo

    return act


def _flag(parameter: Any, value: bool) -> Write:
    def act() -> Callable[[], None]:
        before = parameter.requires_grad
        parameter.requires_grad_(value)

        def undo() -> None:
            parameter.requires_grad_(before)

        return undo

    return act


def set_entry(own: dict[str, Any], name: str, new: Any) -> Write:
    """Return the write of one entry of a dict."""

    def act() -> Callable[[], None]:
        before = own[name]
        own[name] = new
        return lambda: own.__setitem__(name, before)

    return act


def _putter(state: ModuleState, policy: Policy, made: set[int]) -> Putter:
    roots = roots_of(policy)
    parameter = next((p for root in roots.values() for p in root.parameters()), None)
    device = parameter.device if parameter is not None else "cpu"
    return Putter(state.tensors, homes_of(roots.values()), device, _known_by_name(policy), made)


def _known_by_name(policy: Policy) -> dict[str, Any]:
    known = {name: getattr(policy, name) for name in ("optimizer", "scheduler", "scaler", "ema")}
    for part, root in roots_of(policy).items():
        for path, module in root.named_modules():
            here = f"{part}.{path}" if path else part
            tensors = {**module._parameters, **module._buffers}
            known |= {here: module, **{f"{here}.{name}": value for name, value in tensors.items()}}
    return {name: value for name, value in known.items() if value is not None}


def extra_entries(state: ModuleState | None, policy: Policy, part: str) -> dict[str, Any]:
    """Return what ``load_state_dict`` of a part wants beside tensors: what was saved, else what the target has."""
    module = getattr(policy, part)
    own = {name: value for name, value in module.state_dict().items() if not is_tensor(value)}
    if not own or state is None:
        return own
    putter = _putter(state, policy, set())
    try:
        for name, said in state.record[part]["entries"]:
            if name in own:
                with suppress(BackendError):  # a piece that could not be said, which the reasons name
                    own[name] = putter.value(said, MISSING, name)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DamagedError(f"{FILES['modules']}: is not what is written there ({error})") from error
    return own
