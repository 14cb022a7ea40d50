"""Networks and optimizers of an SB3 zip, checked by name, shape and class before they are put in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3.names import class_name, is_kind


@dataclass(slots=True)
class Parameters:
    """State dicts by name (``policy``, ``policy.optimizer``, ...) and loose tensors (``log_ent_coef``)."""

    states: dict[str, Any]
    variables: dict[str, Any]

    @classmethod
    def read(cls, path: Path, model: Any) -> "Parameters":
        """Read a zip without unpickling anything; raises DamagedError when torch cannot read it."""
        from stable_baselines3.common.save_util import load_from_zip_file

        try:
            _, states, variables = load_from_zip_file(path, load_data=False, device=model.device)
        except Exception as error:  # torch and zipfile raise a dozen kinds here
            raise DamagedError(f"{path.name}: {error}".splitlines()[0]) from error
        return cls(dict(states), {k: v for k, v in (variables or {}).items() if v is not None})

    def fits(self, model: Any, optimizers: Mapping[str, Any]) -> None:
        """Raise BackendError unless every tensor has a place of its shape in the algorithm.

        Args:
            model: the live algorithm.
            optimizers: ``describe_optimizers`` of the saved one; empty if unknown.
        """
        names, loose = model._get_torch_save_params()
        if set(names) != set(self.states):
            raise BackendError(f"the agent has {sorted(names)}, the zip holds {sorted(self.states)}", hint=_HINT)
        for name in names:
            live, saved = part_of(model, name), self.states[name]
            if is_kind(live, "torch.optim.optimizer.Optimizer"):
                _optimizer_fits(name, live, saved, optimizers.get(name))
            else:
                _module_fits(name, live, saved)
        for name in loose:
            tensor = part_of(model, name)
            if name in self.variables and tensor is not None and tensor.shape != self.variables[name].shape:
                raise BackendError(f"{name}: shape {tuple(tensor.shape)} here, another one in the zip", hint=_HINT)

    def put(self, model: Any) -> None:
        """Put everything into the algorithm, in place."""
        model.set_parameters(self.states, exact_match=True, device=model.device)
        for name, value in self.variables.items():
            part_of(model, name).data = value.data


_HINT = "build the agent with the policy and policy_kwargs of the checkpoint"


def describe_optimizers(model: Any) -> dict[str, Any]:
    """Return class and parameter shapes of every optimizer, by name."""
    found = {}
    for name in model._get_torch_save_params()[0]:
        part = part_of(model, name)
        if is_kind(part, "torch.optim.optimizer.Optimizer"):
            found[name] = {"class": class_name(part), "shapes": _shapes(part)}
    return found


def _module_fits(name: str, live: Any, saved: Any) -> None:
    own = {k: tuple(v.shape) for k, v in live.state_dict().items() if hasattr(v, "shape")}
    new = {k: tuple(v.shape) for k, v in saved.items() if hasattr(v, "shape")}
    for key in sorted(own.keys() | new.keys()):
        if own.get(key) != new.get(key):
            raise BackendError(f"{name} {key}: shape {own.get(key)} here, {new.get(key)} in the zip", hint=_HINT)


def _optimizer_fits(name: str, live: Any, saved: Any, described: Any) -> None:
    if described is not None and described != {"class": class_name(live), "shapes": _shapes(live)}:
        raise BackendError(
            f"{name}: a {class_name(live)} over other parameters than the saved {described['class']}", hint=_HINT
        )
    groups = saved.get("param_groups") if isinstance(saved, Mapping) else None
    if not isinstance(groups, list) or [len(g["params"]) for g in groups] != [
        len(g["params"]) for g in live.param_groups
    ]:
        raise BackendError(f"{name}: another number of parameters than in the zip", hint=_HINT)
    parameters = [p for group in live.param_groups for p in group["params"]]
    numbers = [n for group in groups for n in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=True):
        for key, value in saved.get("state", {}).get(number, {}).items():
            if getattr(value, "ndim", 0) and value.shape != parameter.shape:
                raise BackendError(f"{name}: {key} of parameter {number} has another shape", hint=_HINT)


def _shapes(optimizer: Any) -> list[list[list[int]]]:
    return [[list(p.shape) for p in group["params"]] for group in optimizer.param_groups]


def part_of(model: Any, name: str) -> Any:
    """Return what a dotted name of an SB3 zip (``policy.optimizer``) stands for in a live algorithm, or None."""
    found = model
    for part in name.split("."):
        found = getattr(found, part, None)
    return getattr(found, "_orig_mod", found)  # a compiled module keeps the original inside
