"""What the program built, compared with what training made of it: a new process builds one and needs the other.

A ``Policy`` looks at its parts when it is made. At a save, each difference is either written down, so that a load can
make it in what a new process builds (`remodel`), or it is named as a missing piece; a module that no load can make is
refused. Where nobody looked (a bare module), nothing is known, and a target must have the structure that was saved.
"""

import sys
from dataclasses import dataclass
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_safetensors.attributes import name_of_class
from ckptkit_safetensors.kinds import Bundle, is_module, is_tensor_dict
from ckptkit_safetensors.lazies import is_lazy
from ckptkit_safetensors.modules import PARTS, SINCE, ModuleState, capture_modules, look, names_of_groups, roots_of
from ckptkit_safetensors.named import find, homes_of
from ckptkit_safetensors.not_state import is_of_loop
from ckptkit_safetensors.structure import HOOKS, Structure, hooks_of, naming, structure_of

FIELDS = ("optimizer", "scheduler", "scaler", "ema")
_OF_LOADING = (
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"
)  # fmt: skip
_HINT = (
    "change the model before the Policy is built; or build a new Policy now, and let the program that resumes make the "
    "change before it restores"
)


@dataclass(frozen=True, slots=True)
class Built:
    """How a policy was when it was made.

    Attributes:
        classes: class of each part beside the model, None where there was none, and the functions of a scheduler.
        structures: of the model and the average.
        hooks: ids of the hooks of each module.
        groups: names of the parameters of each group of the optimizer.
        left: by place, what the program had put into modules.
        versions: of each parameter by its id: torch counts what is written into it, but for writes through ``.data``.
        moments: of how many parameters the optimizer had state.
        homes: modules of Python that the classes of its modules came from.
        imported: names of all modules of Python that were imported: others a new process may not have at its restore.
    """

    classes: dict[str, tuple[str | None, tuple[int, ...]]]
    structures: dict[str, Structure]
    hooks: dict[str, dict[tuple[str, str], list[Any]]]
    groups: list[list[str | None]]
    left: dict[str, Any]
    versions: dict[int, int]
    moments: int
    homes: set[str]
    imported: frozenset[str]

    def has_trained(self, policy: Bundle) -> bool:
        """Return whether the optimizer got state, or some parameter of the model was written since."""
        if _moments(policy) > self.moments:
            return True
        return any(self.versions.get(key, version) != version for key, version in _versions(policy).items())


def look_at(policy: Bundle) -> Built:
    """Return what the program has built; draws and changes nothing."""
    roots = roots_of(policy)
    return Built(
        {name: _class_of(getattr(policy, name)) for name in FIELDS},
        {name: structure_of(root) for name, root in roots.items()} | _dicts(policy),
        {name: {place: [_mark(h) for h in hooks] for place, hooks in hooks_of(r).items()} for name, r in roots.items()},
        _groups(policy),
        look(policy),
        _versions(policy),
        _moments(policy),
        homes_of(roots.values()),
        frozenset(sys.modules),
    )


def _dicts(policy: Bundle) -> dict[str, Structure]:
    found = {}
    for name in PARTS:
        if is_tensor_dict(part := getattr(policy, name)):
            forms = {key: ["entry", True, list(value.shape), str(value.dtype), None] for key, value in part.items()}
            found[name] = Structure({}, forms)
    return found


def _versions(policy: Bundle) -> dict[int, int]:
    parameters = policy.model.parameters() if is_module(policy.model) else policy.model.values()
    return {id(p): getattr(p, "_version", 0) for p in parameters if not is_lazy(p)}


def _moments(policy: Bundle) -> int:
    return len(getattr(policy.optimizer, "state", ()))


def _groups(policy: Bundle) -> list[list[str | None]]:
    return names_of_groups(policy) if hasattr(policy.optimizer, "param_groups") else []


def _class_of(part: Any) -> tuple[str | None, tuple[int, ...]]:
    name = None if part is None else f"{type(part).__module__}.{type(part).__qualname__}"
    return name, tuple(map(id, getattr(part, "lr_lambdas", ())))


def _mark(hook: Any) -> Any:
    return naming(hook) or id(hook)


def capture_changed(policy: Bundle) -> ModuleState:
    """Return what the modules of a policy hold, and what became of what the program built.

    Raises:
        BackendError: a module came or changed that no load can make.
    """
    built: Built | None = policy.built
    if built is None or not built.has_trained(policy):
        return capture_modules(policy)
    _refuse_other_dicts(policy, built)
    roots = {name: root for name, root in roots_of(policy).items() if name in built.structures}
    now = {name: structure_of(root) for name, root in roots.items()}
    changed = {name: one for name, one in now.items() if not one.same_as(built.structures[name])}
    added = {name: one.added(built.structures[name]) for name, one in changed.items()}
    places = [_place(name, path) for name, paths in added.items() for path in paths]
    state = capture_modules(policy, built=built.left, fresh=places, imported=built.imported)
    since: dict[str, Any] = {}
    for name in roots:
        if name in changed:
            _refuse_unmakeable(roots[name], name, added[name], built, state.reasons)
            since[name] = {"built": built.structures[name].to_json(), "now": changed[name].to_json()}
        if hooks := _hooks(name, roots[name], built, state.reasons):
            since.setdefault(name, {})["hooks"] = hooks
    if exchanged := _exchanged(policy, built, state.reasons):
        since["parts"] = exchanged
    if built.groups != _groups(policy):
        since["groups"] = built.groups
    if since:
        state.record[SINCE] = since
    return state


def _place(part: str, path: str) -> str:
    return f"{part}.{path}" if path else part


def _refuse_other_dicts(policy: Bundle, built: Built) -> None:
    for name, now in _dicts(policy).items():
        before = built.structures.get(name, now)
        strange = [key for key in {**before.tensors, **now.tensors} if before.tensors.get(key) != now.tensors.get(key)]
        if strange:
            message = f"{name}: {strange[0]!r} is not as it was when the Policy was built (new, gone, of another shape)"
            raise BackendError(message, hint=_HINT)


def _refuse_unmakeable(root: Any, part: str, added: list[str], built: Built, reasons: list[str]) -> None:
    modules = dict(root.named_modules())
    for path in (path for path in added if path in modules):  # the others are second names of one of these
        place, module = _place(part, path), modules[path]
        name = name_of_class(type(module))
        found = find(name, built.homes, built.imported)
        lost = next((reason for reason in reasons if reason.startswith(f"{place}.")), None)
        if path and found is type(module) and lost is None and not _has_hooks(module):
            continue
        message = f"{place} is a {name.replace(':', '.')} since the Policy was built, which a new process cannot make"
        raise BackendError(f"{message}{f' ({lost})' if lost else ''}", hint=_HINT)


def _has_hooks(module: Any) -> bool:
    """Return whether a module has hooks that its constructor or torch registered: a load that makes it does not."""
    if any(getattr(module, kind, None) for kind in _OF_LOADING):
        return True
    held = [hook for kind in HOOKS for hook in (getattr(module, kind, None) or {}).values()]
    return any(naming(hook) is not None or getattr(hook, "__self__", None) is module for hook in held)


def _hooks(part: str, root: Any, built: Built, reasons: list[str]) -> list[list[Any]]:
    """Return, for each kind of hook of a module that changed: which of the built ones are left, what pruning added."""
    said: list[list[Any]] = []
    before, now = built.hooks[part], hooks_of(root)
    for key in dict.fromkeys([*before, *now]):
        path, kind = key
        had, have = before.get(key, []), now.get(key, [])
        marks = [_mark(hook) for hook in have]
        if marks == had:
            continue
        place = _place(part, path)
        added = [mark for mark in marks if mark not in had]
        for mark, hook in zip(marks, have, strict=True):
            if mark in had or (isinstance(mark, str) and mark.startswith("prune:")):
                continue
            if isinstance(mark, str):
                message = f"{place} has a {mark.replace(':', ' of ')} since the Policy was built"
                raise BackendError(f"{message}, which a new process cannot make", hint=_HINT)
            if is_of_loop(hook) or str(getattr(hook, "__module__", "")).startswith("torch."):
                continue
            name = getattr(hook, "__qualname__", None) or type(hook).__qualname__
            reasons.append(f"{place} has the hook {name!r} that training registered, which cannot be saved")
        pruned = [mark.partition(":")[2] for mark in added if isinstance(mark, str)]
        said.append([path, kind, len(had), [had.index(mark) for mark in marks if mark in had], pruned])
    return said


def _exchanged(policy: Bundle, built: Built, reasons: list[str]) -> dict[str, str | None]:
    """Return the class that the program built, of each part that is another one now; a load leaves those be."""
    found: dict[str, str | None] = {}
    for name in FIELDS:
        before, now = built.classes[name], _class_of(getattr(policy, name))
        if before == now:
            continue
        found[name] = before[0]
        if now[0] is None:
            reasons.append(f"{name} was taken away since the Policy was built: what a new process builds starts over")
        else:
            was = f"a {before[0]}" if before[0] else "none"
            reasons.append(f"{name} is a {now[0]}, there was {was} when the Policy was built: a new process has that")
    return found
