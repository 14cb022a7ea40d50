"""What a program gives when it builds an algorithm, and may change while it trains: ent_coef, schedules, dropout.

Such a value is the program's own as long as training leaves it alone: whoever resumes with another one means it, and is
told. Where training has changed it, it is state, and the saved one is put back. To tell these apart, the values are
noted when training begins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ckptkit_sb3.agent import constructor_arguments
from ckptkit_sb3.decoding import Decoder
from ckptkit_sb3.encoding import Encoder
from ckptkit_sb3.holders import attributes_of, holders_of, known_objects, submodules_of
from ckptkit_sb3.names import class_name, is_scalar

Nodes = dict[str, Any]
ABSENT: dict[str, Any] = {"@": "absent"}
READ_ONCE = frozenset({
    *("policy", "policy_class", "policy_kwargs", "env", "device", "seed", "verbose", "tensorboard_log"),
    *("supported_action_spaces", "replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class"),
    *("rollout_buffer_kwargs", "action_noise"),
})  # fmt: skip
"""Arguments of SB3's own constructors that nothing reads once the algorithm is built, or that are saved elsewhere."""
_UTILS = "stable_baselines3.common.utils"
_SCHEDULES = {
    f"{_UTILS}.FloatSchedule": {"value_schedule"},
    f"{_UTILS}.ConstantSchedule": {"val"},
    f"{_UTILS}.LinearSchedule": {"start", "end", "end_fraction"},
}
"""Classes of SB3 that are built anew from their attributes, where training has put one in the place of another."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value: what it is called, and the object that has it as an attribute.

    Attributes:
        path: its name to people: ``ent_coef``, ``policy.features_extractor.dropout.p``.
        holder: the algorithm, one of its modules or buffers.
        name: of the attribute; empty for the names of a module's frozen parameters.
        argument: whether it is an argument of the algorithm's constructor.
    """

    path: str
    holder: Any
    name: str
    argument: bool = False

    @property
    def value(self) -> Any:
        """The live value."""
        if self.name:
            return vars(self.holder).get(self.name)
        return [name for name, parameter in self.holder.named_parameters() if not parameter.requires_grad]

    def put(self, value: Any) -> None:
        """Assign it."""
        if self.name:
            vars(self.holder)[self.name] = value
            return
        for name, parameter in self.holder.named_parameters():
            parameter.requires_grad_(name not in value)


def take(model: Any) -> tuple[Nodes, list[str]]:
    """Return the nodes of all settings by path, and what could not be said."""
    known, nodes, left_out = known_objects(model), {}, []
    for setting in _settings(model):
        arrays: dict[str, Any] = {}
        encoder = Encoder(arrays, "", functions=True, known=known)
        nodes[setting.path] = encoder.encode(setting.value, setting.path)
        left_out += encoder.left_out or ([f"{setting.path} (large arrays)"] if arrays else [])
    return nodes, left_out


def describe(model: Any, start: Nodes | None) -> tuple[dict[str, Any], list[str]]:
    """Return the section of all settings, and one line for each that is lost.

    Args:
        model: the algorithm.
        start: what ``take`` returned when training began; None if nobody looked.
    """
    now, left_out = take(model)
    if start is None:
        return {"now": now, "changed": None, "lost": []}, left_out
    changed = {path: start.get(path, ABSENT) for path in now if start.get(path, ABSENT) != now[path]}
    live, lost = {setting.path: setting.value for setting in _settings(model)}, []
    for path, before in changed.items():
        if puttable(now[path], before):
            continue
        left_out.append(f"{path}, which training has replaced with code ({class_name(live[path])})")
        if callable(live[path]):
            now[path] = {"@": "held", "value": float(live[path](model._current_progress_remaining))}
        lost.append(path)
    return {"now": now, "changed": changed, "lost": lost}, left_out


def digestible(section: Mapping[str, Any]) -> Nodes:
    """Return the settings of a section such that equal ones look alike: a constant schedule, in whatever class."""
    return {path: _constant(node) for path, node in section["now"].items()}


def _constant(node: Any) -> Any:
    name = node.get("class", "").rpartition(".")[2] if isinstance(node, dict) else ""
    if name == "FloatSchedule":
        return _constant(node["attributes"]["value_schedule"])
    if name == "ConstantSchedule":
        return {"@": "held", "value": node["attributes"]["val"]}
    return node


def plan(model: Any, section: Mapping[str, Any], decoder: Decoder) -> list[str]:
    """Collect the assignments that put changed settings back; return what to tell of those that are decided otherwise.

    Args:
        model: the algorithm, as its program built it.
        section: what ``describe`` returned.
        decoder: takes the assignments.
    """
    live, _ = take(model)
    changed, told = section["changed"], []
    places = {setting.path: setting for setting in _settings(model)}
    for path, saved in sorted(section["now"].items()):
        setting = places.get(path) or _missing(model, path)
        if setting is None or live.get(path, ABSENT) == saved:
            continue
        here, then = said(live.get(path)), said(saved)
        if (changed is None and setting.argument) or (changed is not None and path not in changed):
            told.append(f"{path}: this program sets {here}, the saved one {then}; this program's is used")
            continue
        if changed is not None and live.get(path, ABSENT) != changed[path] != ABSENT:
            told.append(
                f"{path}: this program sets {here}, the saved one set {said(changed[path])}, which training changed"
                f" to {then}; that is put back"
            )
        part = Decoder({}, kinds={"object": _object, "held": _held})
        decoder.later(part.apply)
        decoder.later(partial(setting.put, part.attempt(saved, {path: setting.value}, path, path, told)))
    return told


def put(model: Any, nodes: Nodes) -> None:
    """Put the values that ``take`` returned a moment ago back into the same algorithm, where they changed since."""
    now, _ = take(model)
    for setting in _settings(model):
        if nodes.get(setting.path, ABSENT) not in (ABSENT, now[setting.path]):
            part = Decoder({})
            value = part.decode(nodes[setting.path], setting.value, setting.path)
            part.apply()
            setting.put(value)


def puttable(node: Any, there: Any) -> bool:
    """Return whether a node can be put where another one stands: code cannot, unless it is the same code."""
    kind = node.get("@") if isinstance(node, dict) else None
    other = there.get("@") if isinstance(there, dict) else None
    if kind in ("static", "function", "method"):
        return kind == other and bool(node.get("name") == there.get("name"))
    if kind in ("enum", "namedtuple"):
        return kind == other and bool(node["class"] == there["class"])
    if kind == "object":
        same = other == kind and node["class"] == there["class"]
        theirs = there["attributes"] if same else {}
        fits = all(puttable(v, theirs.get(k)) for k, v in node["attributes"].items())
        return fits and (same or set(node["attributes"]) == _SCHEDULES.get(node["class"]))
    items = node.get("items", ()) if kind in ("list", "deque", "tuple", "set", "frozenset") else ()
    theirs = there.get("items", ()) if isinstance(there, dict) else ()
    return all(puttable(part, theirs[i] if i < len(theirs) else None) for i, part in enumerate(items))


def said(node: Any) -> str:
    """Return a node as a short text for people."""
    if not isinstance(node, dict):
        return repr(node)
    if node.get("class") in _SCHEDULES:
        return said(next(iter(node["attributes"].values())))
    if "items" in node:
        return f"[{', '.join(said(part) for part in node['items'][:4])}{', ...' if len(node['items']) > 4 else ''}]"
    return str(node.get("name") or node.get("class") or node.get("value") or node.get("@")).rpartition(".")[2]


def _object(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    attributes = node["attributes"]
    if class_name(existing) == node["class"] or set(attributes) != _SCHEDULES.get(node["class"]):
        return decoder.object(node, existing, where)
    from stable_baselines3.common import utils

    kind = getattr(utils, node["class"].rpartition(".")[2])
    made = kind.__new__(kind)
    vars(made).update(
        {
            k: decoder.decode(v, vars(existing).get(k) if hasattr(existing, "__dict__") else None, where)
            for k, v in attributes.items()
        }
    )
    return decoder.remember(node, made)


def _held(decoder: Decoder, node: Any, existing: Any, where: str) -> Any:
    from stable_baselines3.common.utils import FloatSchedule

    return FloatSchedule(float(node["value"]))


def _missing(model: Any, path: str) -> Setting | None:
    """Return the place of a setting that the algorithm does not have yet: training made it, or made it plain."""
    holder, _, name = path.rpartition(".")
    parts = {inner: part for outer, part in holders_of(model) for inner, part in submodules_of(outer, part)}
    if holder:
        return Setting(path, parts[holder], name) if holder in parts else None
    return Setting(path, model, path, argument=True) if path in constructor_arguments(model) else None


def _settings(model: Any) -> Iterator[Setting]:
    arguments = constructor_arguments(model)
    held = {id(value) for value in known_objects(model).values()}
    for name, value in sorted(vars(model).items()):
        # A schedule may have another name than its argument; a function over a method of the class is a patch.
        schedule = callable(value) and not isinstance(value, type) and not hasattr(type(model), name)
        tensors = hasattr(value, "data_ptr") or hasattr(value, "state_dict")
        if (name in arguments or schedule) and name not in READ_ONCE and id(value) not in held and not tensors:
            yield Setting(name, model, name, argument=True)
    for path, holder in holders_of(model):
        for inner, part in submodules_of(path, holder):
            for name, value in attributes_of(part):
                if is_scalar(value):
                    yield Setting(f"{inner}.{name}", part, name)
        if hasattr(holder, "named_parameters"):
            yield Setting(f"{path}: frozen parameters", holder, "")
