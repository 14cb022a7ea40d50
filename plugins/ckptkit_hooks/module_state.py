"""What a torch module holds besides its ``state_dict``: attributes that training changes, which parameters train."""

from collections.abc import Callable, Mapping
from typing import Any

from ckptkit_torchdata.parts import Parts, Taken
from ckptkit_torchdata.state_file import Inner, from_json, to_json
from ckptkit_torchdata.walk import Holder

from ckptkit.errors import DamagedError


class ModuleState:
    """The attributes of some modules and other objects, as they were when this was made, and as they are.

    Args:
        roots: returns the objects by name.
        leave: names of each object's attributes that are saved elsewhere, or are not state.
    """

    def __init__(
        self, roots: Callable[[], Mapping[str, Any]], leave: Callable[[Any], frozenset[str]] = lambda _: frozenset()
    ) -> None:
        import torch

        self._module = torch.nn.Module
        self._own = frozenset(vars(torch.nn.Module()))  # hooks, and the mode, which the trainer sets
        self._roots, self._also = roots, leave
        self._parts = Parts(roots, leave=self._leaves)
        self._trained = self._trains()

    def _leaves(self, holder: Holder, name: str) -> bool:
        owner = holder.owner
        if not isinstance(owner, self._module):
            return name in self._also(owner)
        if holder.place.endswith("<_parameters>"):
            return True
        if holder.place.endswith("<_buffers>"):
            return name not in owner._non_persistent_buffers_set
        return not holder.place.endswith(">") and (name in self._own or name in self._also(owner))

    def _trains(self) -> dict[str, bool]:
        modules = {place: item for place, item in self._roots().items() if isinstance(item, self._module)}
        return {
            f"{place}.{name}": parameter.requires_grad
            for place, module in modules.items()
            for name, parameter in module.named_parameters()
        }

    def said(self) -> dict[str, Any]:
        """Return what changed, as JSON."""
        taken, trained = self._parts.taken(), self._trains()
        changed = {name: trains for name, trains in trained.items() if self._trained.get(name) is not trains}
        return {"attributes": to_json(Inner(taken.generators, {}, taken.attributes)), "trains": changed}

    def reasons(self) -> list[str]:
        """Return one line for each piece that changed, or may have changed, and that ``said`` does not hold."""
        taken = self._parts.taken()
        late = [f"{place}: was made in training; a new process has nothing there" for place in self._parts.late(taken)]
        return [*self._parts.reasons(), *late]

    def put(self, value: Any) -> list[str]:
        """Put back what ``said`` returned; returns the places that do not exist to take it. Raises DamagedError."""
        if not isinstance(value, dict) or value.keys() != {"attributes", "trains"}:
            raise DamagedError("is not the state of modules")
        inner, trains = from_json(value["attributes"], "attributes"), value["trains"]
        if not isinstance(trains, dict) or not all(isinstance(flag, bool) for flag in trains.values()):
            raise DamagedError("trains does not say which parameters train")
        lost = self._parts.put(Taken(inner.generators, inner.attributes))
        for place, module in self._roots().items():
            if isinstance(module, self._module):
                for name, parameter in module.named_parameters():
                    parameter.requires_grad_(trains.get(f"{place}.{name}", self._trained.get(f"{place}.{name}", True)))
        return lost
