"""What modules hold besides their `state_dict`: modes, frozen parameters, plain attributes, non-persistent buffers.

torch saves none of it: a submodule in ``eval()``, an unfrozen layer, an annealed ``dropout.p``, a ``torch.Generator``
or a hidden state would start over. It goes into ``module_state.json``, its tensors into ``module_state.safetensors``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit_safetensors.attributes import KEPT, Sayer, class_name
from ckptkit_safetensors.digests import digest_state
from ckptkit_safetensors.kinds import Bundle, is_module, is_tensor
from ckptkit_safetensors.lazies import is_lazy
from ckptkit_safetensors.lazy_import import lazy_import
from ckptkit_safetensors.named import homes_of
from ckptkit_safetensors.not_state import is_of_torch, made_elsewhere
from ckptkit_safetensors.tensors import TensorSet, collect

PARTS = ("model", "ema")
SINCE = "since"
"""Field of the record: what training made of what the program built."""

_LARGE = 32 << 20


@dataclass(slots=True, eq=False)
class ModuleState:
    """What the modules of an item hold besides their parameters and buffers.

    Attributes:
        record: JSON, by part (``model``, ``ema``, ``optimizer``), and what training made of what the program built.
        tensors: the tensors and arrays that it names.
        reasons: one line for each piece that is not in it.
    """

    record: dict[str, Any]
    tensors: TensorSet = field(default_factory=lambda: TensorSet({}))
    reasons: list[str] = field(default_factory=list)

    def held(self) -> dict[str, Any]:
        """Return the record of everything that the modules hold, whatever they were built as."""
        return {part: record for part, record in self.record.items() if part != SINCE}


def capture_modules(
    policy: Bundle,
    *,
    built: Mapping[str, Any] | None = None,
    fresh: Sequence[str] = (),
    imported: Collection[str] | None = None,
) -> ModuleState:
    """Return what the modules and the optimizer of a policy hold; tensors are referenced, not copied.

    Args:
        policy: the live one.
        built: what ``look`` found when it was made; None if that is not known.
        fresh: places of modules that it did not have then.
        imported: names of the modules of Python that were imported then.
    """
    sayer = _sayer(policy)
    sayer.built, sayer.fresh, sayer.imported = built, tuple(f"{place}." for place in fresh), imported
    record = _say_all(policy, sayer)
    for name, part in roots_of(policy).items():
        record[name]["entries"] = _entries(part, name, sayer)
    return ModuleState(record, collect(sayer.tensors, "modules"), sayer.reasons)


def look(policy: Bundle) -> dict[str, Any]:
    """Return, by place, what the program itself has put into modules: functions, references, objects of libraries."""
    sayer = _sayer(policy)
    _say_all(policy, sayer)
    return sayer.left


def roots_of(policy: Bundle) -> dict[str, Any]:
    """Return model and average, those that are modules."""
    return {name: part for name in PARTS if is_module(part := getattr(policy, name))}


def names_of_groups(policy: Bundle) -> list[list[str | None]]:
    """Return the names of the parameters of each group of the optimizer; None for one that is not in the model."""
    model = policy.model
    named = model.named_parameters() if is_module(model) else model.items()
    names = {id(value): name for name, value in named}
    return [[names.get(id(parameter)) for parameter in group["params"]] for group in policy.optimizer.param_groups]


def _say_all(policy: Bundle, sayer: Sayer) -> dict[str, Any]:
    record = {name: _say(part, name, sayer, whole=False) for name, part in roots_of(policy).items()}
    if policy.optimizer is not None:
        record["optimizer"] = {"attributes": _attributes_of_optimizer(policy.optimizer, sayer)}
    return record


def _sayer(policy: Bundle) -> Sayer:
    sayer = Sayer(_known_of(policy), homes_of(roots_of(policy).values()))
    sayer.on_module = lambda module, place: {"module": [class_name(module), _say(module, place, sayer, whole=True)]}
    return sayer


def _known_of(policy: Bundle) -> dict[int, str]:
    """Return the names of all that other files of the item hold, by id."""
    known: dict[int, str] = {}
    for name in ("optimizer", "scheduler", "scaler", *PARTS):
        part = getattr(policy, name)
        if is_module(part):
            _register(part, name, known)
        elif part is not None:
            known[id(part)] = name
            if name in PARTS and isinstance(part, Mapping):
                known.update({id(value): f"{name}.{key}" for key, value in part.items()})
    return known


def _register(root: Any, place: str, known: dict[int, str]) -> None:
    for path, module in root.named_modules():
        here = f"{place}.{path}" if path else place
        known.setdefault(id(module), here)
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                known.setdefault(id(value), f"{here}.{name}")


def _say(root: Any, place: str, sayer: Sayer, *, whole: bool) -> dict[str, Any]:
    """Say one tree of modules; ``whole`` with its parameters and buffers, because no other file holds them."""
    if whole:
        _register(root, place, sayer.known)
    said: dict[str, Any] = {"train": [], "eval": [], "attributes": [], "buffers": []}
    internal = {*vars(lazy_import("torch").nn.Module()), "_compiled_call_impl"}
    for path, module in root.named_modules():
        said["train" if module.training else "eval"].append(path)
        here = f"{place}.{path}" if path else place
        said["attributes"] += [[path, *pair] for pair in _attributes(module, here, sayer, internal)]
        for name in sorted(getattr(module, "_non_persistent_buffers_set", ())):
            buffer = module._buffers.get(name)
            value = None if buffer is None or is_lazy(buffer) else sayer.say_tensor(buffer, f"{here}.{name}")
            said["buffers"].append([path, name, value])
    said["frozen"] = [name for name, parameter in root.named_parameters() if not parameter.requires_grad]
    if whole:
        values = root.state_dict(keep_vars=True)
        said["tensors"] = [[n, sayer.say_tensor(v, f"{place}.{n}")] for n, v in values.items() if is_tensor(v)]
    return said


def _attributes(module: Any, here: str, sayer: Sayer, internal: set[str]) -> list[list[Any]]:
    # Wrappers (DDP, compile, script) keep private marks of what lies in C++; the layers of torch.nn are plain.
    wrapper = is_of_torch(module) and not type(module).__module__.startswith("torch.nn.modules")
    found = []
    for name, value in vars(module).items():
        if name in internal or (wrapper and name.startswith("_")) or made_elsewhere(module, name):
            continue
        before = len(sayer.reasons)
        said = sayer.say(value, f"{here}.{name}")
        if wrapper:
            del sayer.reasons[before:]
        if said != KEPT:
            found.append([name, said])
    return found


def _entries(part: Any, place: str, sayer: Sayer) -> list[list[Any]]:
    """Say what a ``state_dict`` holds beside tensors: what ``get_extra_state`` returned, on its own."""
    alone = Sayer({}, tensors=sayer.tensors, reasons=sayer.reasons, on_module=sayer.on_module)
    values = {name: value for name, value in part.state_dict().items() if not is_tensor(value)}
    return [[name, alone.say(value, f"{place}.{name}")] for name, value in values.items()]


def _attributes_of_optimizer(optimizer: Any, sayer: Sayer) -> list[list[Any]]:
    """Say the attributes that a class of the user's gives its optimizer (a counter, slow weights)."""
    if is_of_torch(optimizer):
        return []
    torch = lazy_import("torch")
    internal = {*vars(torch.optim.SGD([torch.zeros(1)], lr=0.1)), "state", "param_groups", "step", "_step_count"}
    own = getattr(optimizer, "__dict__", {})
    said = [[name, sayer.say(v, f"optimizer.{name}")] for name, v in own.items() if name not in internal]
    return [pair for pair in said if pair[1] != KEPT]


def large_attributes(state: ModuleState, model: int) -> list[str]:
    """Return a line if attributes take more room than the model (of so many bytes): a dataset may hang on a module."""
    size = state.tensors.nbytes()
    if size <= max(model, _LARGE):
        return []
    largest = max(state.tensors.tensors, key=lambda name: int(state.tensors.tensors[name].nbytes))
    return [f"attributes of modules take {size >> 20} MB of each checkpoint, most of all {largest}"]


_BY_NAME = frozenset({"global", "part", "where"})


def differences(saved: ModuleState, now: ModuleState) -> list[str]:
    """Return the places where live modules are not what was saved; what was not saved is not looked at."""
    found = []
    for part, record in saved.record.items():
        here = now.record.get(part)
        if here is None:
            continue
        for kind in ("attributes", "buffers", "entries", "tensors"):
            have = {tuple(entry[:-1]): _by_value(entry[-1], now) for entry in here.get(kind, ())}
            for *path, said in record.get(kind, ()):
                if tuple(path) in have and not _holds(have[tuple(path)], _by_value(said, saved)):
                    found.append(".".join([part, *filter(None, path)]))
        for kind in ("eval", "train", "frozen"):
            other = {"eval": "train", "train": "eval"}.get(kind)
            if other is not None:
                found += [
                    ".".join([part, *filter(None, [p]), "training"]) for p in record.get(kind, ()) if p in here[other]
                ]
        found += [
            f"{part}.{n}.requires_grad" for n in sorted(set(record.get("frozen", ())) ^ set(here.get("frozen", ())))
        ]
    return found


def _by_value(said: Any, state: ModuleState) -> Any:
    """Return a said value with the values of its tensors instead of their names, and classes without their home."""
    if isinstance(said, list):
        return [_by_value(entry, state) for entry in said]
    if isinstance(said, dict):
        name = said.get("tensor", said.get("array"))
        if isinstance(name, str) and name in state.tensors.names():
            return {"tensor": digest_state(state.tensors[name])}
        return {key: _homeless(key, _by_value(entry, state)) for key, entry in said.items()}
    return said


def _holds(now: Any, saved: Any) -> bool:
    """Return whether a live value is the saved one, as far as that was saved: an object may hold more by now."""
    if saved == KEPT or (now == KEPT and isinstance(saved, dict) and not _BY_NAME.isdisjoint(saved)):
        return True
    if isinstance(saved, list):
        return isinstance(now, list) and len(now) == len(saved) and all(map(_holds, now, saved))
    if not isinstance(saved, dict) or not isinstance(now, dict):
        return bool(now == saved)
    if "object" in saved and "object" in now and now["object"][0] == saved["object"][0]:
        have = dict(now["object"][1])
        return all(name in have and _holds(have[name], value) for name, value in saved["object"][1])
    if "attributes" in saved and "attributes" in now:  # a whole module
        have = {tuple(entry[:-1]): entry[-1] for entry in now["attributes"]}
        known = all(_holds(have.get(tuple(path)), value) for *path, value in saved["attributes"])
        return known and all(_holds(now[key], saved[key]) for key in saved if key != "attributes")
    return now.keys() == saved.keys() and all(_holds(now[key], saved[key]) for key in saved)


def _homeless(tag: str, content: Any) -> Any:
    """Return what a tag holds without the module of Python that its class comes from: a script may be `__main__`."""
    if tag == "of":
        return content.rpartition(":")[2]
    return [content[0].rpartition(":")[2], content[1]] if tag in ("object", "enum", "module") else content
