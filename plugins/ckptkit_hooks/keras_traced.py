"""State that no layer reports but TensorFlow's trace of a training step shows: raw variables and random ops."""

from collections.abc import Iterator
from typing import Any

from ckptkit_hooks import keras_state


class Trace:
    """Looks into each traced step once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, list[str]]] = {}

    def unkept(self, model: Any) -> list[str]:
        """Return one line for each piece of state that the traced step uses but that is in no variable of the model.

        Empty if nothing was traced: with other backends, and with ``run_eagerly``.
        """
        lines: set[str] = set()
        for step in _traced(model):
            if id(step) not in self._seen:
                self._seen[id(step)] = step, _unkept(step, model)
            lines.update(self._seen[id(step)][1])
        return sorted(lines)


def _traced(model: Any) -> Iterator[Any]:
    # There is no public way from a model to its trace; if this one vanishes, rehearsals still see what differs.
    for cell in getattr(getattr(model, "train_function", None), "__closure__", None) or ():
        steps = getattr(cell.cell_contents, "_list_all_concrete_functions", None)
        if steps is not None:
            yield from steps()


def _unkept(step: Any, model: Any) -> list[str]:
    kept = {id(variable.value) for variable in keras_state.all_variables(model)}
    names = [variable.name.partition(":")[0] for variable in step.variables if id(variable) not in kept]
    lines = [f"the variable {name!r} of the training step belongs to no layer, metric or optimizer" for name in names]
    graph = step.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    random = {node.op for node in nodes if "seed2" in node.attr}
    return lines + [
        f"{name} draws from a state that TensorFlow hides; draw with keras.random instead" for name in random
    ]
