"""What a load needs an algorithm to be built like: noted when training begins, since training may build it anew.

Optimizers of another class, layers that were added or exchanged, a replay buffer with other rows, another kind of
action noise: no load takes them into the algorithm that the program builds. So the save says it, while there is a run.
"""

from typing import Any

from ckptkit.errors import BackendError
from ckptkit_sb3.holders import submodules_of
from ckptkit_sb3.names import class_name, is_kind
from ckptkit_sb3.parameters import describe_optimizers, part_of

Structure = dict[str, str]


def describe(model: Any) -> Structure:
    """Return one text for each part that a load looks at, by name; none for an agent whose layers are still lazy."""
    states = [part_of(model, name).state_dict() for name in model._get_torch_save_params()[0]]
    if any(type(value).__name__.startswith("Uninitialized") for state in states for value in state.values()):
        return {}
    found = {name: f"{said['class']} over {said['shapes']}" for name, said in describe_optimizers(model).items()}
    for name in model._get_torch_save_params()[0]:
        part = part_of(model, name)
        if is_kind(part, "torch.nn.modules.module.Module"):
            found |= {path: class_name(module) for path, module in submodules_of(name, part)}
            found |= {f"{name}.{key}": _shape(value) for key, value in part.state_dict().items()}
    noise, buffer = getattr(model, "action_noise", None), getattr(model, "replay_buffer", None)
    found["action_noise"] = class_name(getattr(noise, "base_noise", noise))  # learn wraps it for several environments
    if buffer is not None:
        # Spaces have a dtype too; that of a dict of them is None.
        rows = {name: value for name, value in vars(buffer).items() if isinstance(getattr(value, "shape", None), tuple)}
        found["replay_buffer"] = class_name(buffer)
        found |= {f"replay_buffer.{name}": _shape(value) for name, value in sorted(rows.items())}
    return found


def refuse_changed(model: Any, start: Structure | None) -> None:
    """Raise BackendError where an algorithm is built in another way than when training began; names each part.

    Args:
        model: the algorithm.
        start: what ``describe`` returned then; None if nobody looked.
    """
    if not start:
        return
    now = describe(model)
    changed = [
        f"{name} {_short(start.get(name))} -> {_short(now.get(name))}"
        for name in sorted({*start, *now})
        if start.get(name) != now.get(name)
    ]
    if changed:
        more = f", and {len(changed) - _MOST} more" if len(changed) > _MOST else ""
        raise BackendError(
            f"the agent is built in another way than when training began: {'; '.join(changed[:_MOST])}{more}",
            hint="a new process could not take this save: build the agent so before its first learn(), there as here",
        )


_MOST = 4


def _shape(value: Any) -> str:
    return f"{getattr(value, 'dtype', class_name(value))} {list(getattr(value, 'shape', ()))}"


def _short(text: str | None) -> str:
    words = "nothing" if text is None else text.partition(" over ")[0].removeprefix("builtins.")
    return words if words.startswith(("torch.float", "float")) else words.rpartition(".")[2]
