"""Makes of what a new process built what training had made of it: modules, parameters, buffers, hooks of pruning.

Only where the target is what the program built at the time of the save: any other target is a misfit, and told as one.
Values are put back afterwards, as into any target.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_safetensors.attributes import name_of_class, same_class
from ckptkit_safetensors.layouts import FILES
from ckptkit_safetensors.lazies import grown_class, is_lazy
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.modules import PARTS, SINCE, ModuleState, roots_of
from ckptkit_safetensors.named import find, homes_of
from ckptkit_safetensors.policy import Policy
from ckptkit_safetensors.structure import HOOKS, Structure, structure_of, walk
from ckptkit_safetensors.undoing import Action, undone


def plan(state: ModuleState, policy: Policy, made: set[int]) -> list[Action]:
    """Return what makes the structure of a target the saved one; the ids of modules that it makes go into ``made``.

    Raises:
        DamagedError: the record is not what is written.
    """
    actions: list[Action] = []
    try:
        for part, root in roots_of(policy).items():
            since = state.record.get(SINCE, {}).get(part, {})
            if "now" in since:
                built, now = (Structure.read(since[which]) for which in ("built", "now"))
                if structure_of(root).same_as(built):
                    actions.append(_remodel(root, now, since.get("hooks", ()), made))
            elif "hooks" in since:
                actions.append(_remodel(root, None, since["hooks"], made))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise damaged(error) from error
    return actions


def damaged(error: Exception) -> DamagedError:
    """Return the error of a record that is not what is written."""
    return DamagedError(f"{FILES['modules']}: is not what is written there ({error})")


def left_out(state: ModuleState | None, policy: Policy) -> set[str]:
    """Return the parts that training exchanged, and of which the target has what the program built."""
    exchanged = (state.record.get(SINCE, {}).get("parts", {}) if state is not None else {}) or {}
    found = set()
    for part, built in exchanged.items():
        have = getattr(policy, part, None)
        name = None if have is None else name_of_class(type(have)).replace(":", ".")
        if part not in PARTS[:1] and name == built:
            found.add(part)
    return found


def _remodel(root: Any, now: Structure | None, hooks: Any, made: set[int]) -> Action:
    def act() -> Callable[[], None]:
        undo = _picture(root)
        with undone(undo):
            try:
                if now is not None:
                    _tensors(root, now, _modules(root, now, made))
                _hooks(root, hooks)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
                raise damaged(error) from error
        return undo

    return act


def _picture(root: Any) -> Callable[[], None]:
    """Return what puts all modules of a tree back as they are now, but for the values of tensors."""
    inner = ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set", *HOOKS)
    modules = [
        (vars(module), dict(vars(module)), {name: vars(module)[name].copy() for name in inner if name in vars(module)})
        for module in root.modules()
    ]
    tensors = [(t, t.data, t.grad) for t in (*root.parameters(), *root.buffers()) if not is_lazy(t)]

    def undo() -> None:
        for own, before, held in modules:
            own.clear()
            own.update(before)
            for name, content in held.items():
                own[name].clear()
                own[name].update(content)
        for tensor, data, grad in tensors:
            tensor.grad, tensor.data = None, data
            tensor.grad = grad

    return undo


def _modules(root: Any, now: Structure, made: set[int]) -> dict[str, Any]:
    """Give every module the submodules that it had, and return all of them by name."""
    homes = homes_of([root])
    found: dict[str, Any] = {}
    children: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, (name, first) in now.modules.items():
        above, _, own = path.rpartition(".")
        current = root if not path else found[above]._modules.get(own)
        module: Any = None if name is None else found[first] if first is not None else current
        if module is not None and first is None and not same_class(name, name_of_class(grown_class(module))):
            module = None
        if module is None and name is not None:
            module = _new(name, homes)
            made.add(id(module))
        found[path] = module
        if path:
            children[above][own] = module
    for path, module in found.items():
        if module is not None and now.modules[path][1] is None:
            module._modules.clear()
            module._modules.update(children[path])
    return found


def _new(name: str, homes: set[str]) -> Any:
    """Return a module of a class, with no code run but torch's own."""
    cls, base = find(name, homes), lazy_import("torch").nn.Module
    if cls is None:
        message = f"the checkpoint has a module of {name.replace(':', '.')}, which is not where the model comes from"
        raise BackendError(message, hint="import its module before the restore, or build the model with it")
    if not isinstance(cls, type) or not issubclass(cls, base):
        raise ValueError(f"{name} is no class of modules")
    module: Any = object.__new__(cls)
    base.__init__(module)
    return module


def _tensors(root: Any, now: Structure, modules: dict[str, Any]) -> None:
    """Give every module the parameters and buffers that it had; those that stay are the very objects."""
    torch = lazy_import("torch")
    device = next((p.device for p in root.parameters()), "cpu")
    olds = {path: ({**m._parameters}, {**m._buffers}) for path, m in modules.items() if m is not None}
    for path, (name, first) in now.modules.items():
        if name is not None and first is None:
            for own in (modules[path]._parameters, modules[path]._buffers):
                own.clear()
            modules[path]._non_persistent_buffers_set.clear()
    placed: dict[str, Any] = {}
    taken: set[int] = set()
    for full, (kind, lasting, shape, dtype, first) in now.tensors.items():
        path, _, name = full.rpartition(".")
        module: Any = modules[path]
        trained = kind == "parameter"
        current = olds[path][0 if trained else 1].get(name)
        if first is not None:
            value = placed[first]
        elif dtype is None:
            value = None
        elif current is None or id(current) in taken:
            empty = torch.empty(shape, dtype=_dtype(dtype), device=device)
            value = torch.nn.Parameter(empty, requires_grad=empty.is_floating_point()) if trained else empty
        else:
            value = current
            if not is_lazy(current) and [list(current.shape), str(current.dtype)] != [shape, dtype]:
                current.grad, current.data = None, torch.empty(shape, dtype=_dtype(dtype), device=current.device)
        placed[full] = value
        taken.add(id(value))
        vars(module).pop(name, None)
        (module._parameters if trained else module._buffers)[name] = value
        if not lasting:
            module._non_persistent_buffers_set.add(name)


def _dtype(name: str) -> Any:
    home, _, short = name.partition(".")
    found = getattr(lazy_import("torch"), short, None)
    if home != "torch" or type(found).__name__ != "dtype":
        raise ValueError(f"no dtype {name}")
    return found


def _hooks(root: Any, said: Any) -> None:
    """Take away the hooks that training took away, and register those of pruning."""
    modules = {path: module for path, module in walk(root) if module is not None}
    for path, kind, count, kept, pruned in said:
        if path not in modules or kind not in HOOKS:
            continue
        module = modules[path]
        foreign = [key for key, h in vars(module)[kind].items() if getattr(h, "__self__", None) is not module]
        if len(foreign) == count:
            for index, key in enumerate(foreign):
                if index not in kept:
                    del vars(module)[kind][key]
        for name in pruned:
            _prune(module, name)


def _prune(module: Any, name: str) -> None:
    prune = lazy_import("torch.nn.utils.prune")
    own = {**module._parameters, **module._buffers}
    if any(getattr(hook, "_tensor_name", None) == name for hook in module._forward_pre_hooks.values()):
        return
    method = prune.CustomFromMask(own[f"{name}_mask"])
    method._tensor_name = name
    setattr(module, name, method.apply_mask(module))  # each forward computes it anew
    module.register_forward_pre_hook(method)
