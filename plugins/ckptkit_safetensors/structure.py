"""The structure of a module: which modules, parameters, buffers and hooks it has, without their values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ckptkit_safetensors.attributes import name_of_class, same_class
from ckptkit_safetensors.lazies import grown_class, is_lazy

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_LAZY = "lazy"
_NAMING = ("torch.nn.utils.prune", "torch.nn.utils.weight_norm", "torch.nn.utils.spectral_norm")


@dataclass(frozen=True, slots=True)
class Structure:
    """What a module is made of, in JSON; names are full names below the root.

    Attributes:
        modules: name -> [class, first name of the same module]; a class of None where there is a place and no module.
        tensors: name -> [``parameter`` or ``buffer``, persistent, shape, dtype, first name of the same tensor].
    """

    modules: dict[str, list[Any]]
    tensors: dict[str, list[Any]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; order counts."""
        return {"modules": list(map(list, self.modules.items())), "tensors": list(map(list, self.tensors.items()))}

    @classmethod
    def read(cls, value: dict[str, Any]) -> "Structure":
        """Return what ``to_json`` wrote."""
        return cls(dict(value["modules"]), dict(value["tensors"]))

    def same_as(self, other: "Structure") -> bool:
        """Return whether they are equal; a tensor that has no shape yet is equal to what it becomes."""
        if list(self.modules) != list(other.modules) or list(self.tensors) != list(other.tensors):
            return False
        modules = zip(self.modules.values(), other.modules.values(), strict=True)
        tensors = zip(self.tensors.values(), other.tensors.values(), strict=True)
        return all(_same_module(*pair) for pair in modules) and all(_same_tensor(*pair) for pair in tensors)

    def added(self, since: "Structure") -> list[str]:
        """Return the names of modules that are new, or of another class, since it was so."""
        return [
            name
            for name, entry in self.modules.items()
            if entry[0] is not None and not (name in since.modules and _same_module(entry, since.modules[name]))
        ]


def _same_module(one: list[Any], other: list[Any]) -> bool:
    if one[0] is None or other[0] is None:
        return one == other
    return one[1] == other[1] and same_class(one[0], other[0])


def _same_tensor(one: list[Any], other: list[Any]) -> bool:
    if _LAZY in (one[3], other[3]):
        return one[:2] == other[:2]
    return one == other


def structure_of(root: Any) -> Structure:
    """Return what a module is made of."""
    modules: dict[str, list[Any]] = {}
    tensors: dict[str, list[Any]] = {}
    seen: dict[int, str] = {}
    for path, module in walk(root):
        if module is None:
            modules[path] = [None, None]
            continue
        first = seen.setdefault(id(module), path)
        modules[path] = [name_of_class(grown_class(module)), None if first == path else first]
        if first != path:
            continue
        for kind, own in (("parameter", module._parameters), ("buffer", module._buffers)):
            for name, value in own.items():
                full = f"{path}.{name}" if path else name
                lasting = name not in getattr(module, "_non_persistent_buffers_set", ())
                tensors[full] = [kind, lasting, *_form(value), None]
                if value is not None and (holder := seen.setdefault(id(value), full)) != full:
                    tensors[full][4] = holder
    return Structure(modules, tensors)


def _form(value: Any) -> list[Any]:
    if value is None:
        return [None, None]
    return [None, _LAZY] if is_lazy(value) else [list(value.shape), str(value.dtype)]


def walk(root: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (name, module) of all places, parents first; below a module that has two places, once."""
    seen = set() if seen is None else seen
    yield path, root
    if root is None or id(root) in seen:
        return
    seen.add(id(root))
    for name, child in root._modules.items():
        yield from walk(child, f"{path}.{name}" if path else name, seen)


def hooks_of(root: Any) -> dict[tuple[str, str], list[Any]]:
    """Return the hooks of each module by its name and their kind, as far as they are not the module's own."""
    found: dict[tuple[str, str], list[Any]] = {}
    for path, module in root.named_modules():
        for kind in HOOKS:
            held = (getattr(module, kind, None) or {}).values()
            if hooks := [hook for hook in held if getattr(hook, "__self__", None) is not module]:
                found[path, kind] = hooks
    return found


def naming(hook: Any) -> str | None:
    """Return ``Class:tensor`` of a hook with which torch computes a tensor before each forward, else None."""
    cls = type(hook)
    if not any(base.__module__ in _NAMING for base in cls.__mro__):
        return None
    name = getattr(hook, "_tensor_name", None) or getattr(hook, "name", None)
    return f"{'prune' if hasattr(hook, '_tensor_name') else cls.__name__}:{name}"
