"""A rollout in progress: where on-policy algorithms can be saved between two of its steps, its rows, and its rest.

``collect_rollouts`` of these algorithms calls the policy at the head of each step, when the step before is stored:
there a save is clean (a forward hook of the policy is called there). A resumed ``learn`` collects only the rest of the
rollout; at its first step, by the same hook, the rows are put back, and the generators after everything else.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ckptkit.errors import BackendError, DamagedError
from ckptkit_sb3 import replay
from ckptkit_sb3.layout import ROLLOUT, Place, read_npz
from ckptkit_sb3.names import class_name
from ckptkit_sb3.progress import Progress

_KNOWN = frozenset({
    "stable_baselines3.common.on_policy_algorithm",
    "sb3_contrib.ppo_mask.ppo_mask",
    "sb3_contrib.ppo_recurrent.ppo_recurrent",
})  # fmt: skip
"""Modules whose ``collect_rollouts`` was read: no local variable in it outlives a step that is not captured."""
_NOISE = ("exploration_mat", "exploration_matrices")


def obstacle(model: Any) -> str | None:
    """Return why an algorithm cannot be saved between the steps of a rollout, or None when it can."""
    if getattr(model, "rollout_buffer", None) is None:
        return f"{class_name(model).rpartition('.')[2]} keeps no rollout buffer: it is saved when its rollout ends"
    collect = getattr(type(model), "collect_rollouts", None)
    home = getattr(collect, "__module__", "?")
    if home not in _KNOWN:
        return f"collect_rollouts of {home} may keep state of a rollout in local variables"
    return None


def at_head_of_step(model: Any, before: int) -> bool:
    """Return whether the policy, which is being called, is called at the head of a step.

    It is where the row of the step before has just been stored: until then others may call it (a callback, the
    environment), and after the last row of a rollout, too. With noise that is drawn anew every ``sde_sample_freq``
    steps only those steps count: a resumed rollout counts its steps from there.

    Args:
        model: the algorithm.
        before: rows of its rollout buffer when it told its callbacks of a step, which was not stored yet. Once it is,
            the next call is the head of a step.
    """
    buffer = model.rollout_buffer
    every, done = getattr(model, "use_sde", False) and model.sde_sample_freq, buffer.pos
    return bool(before < done < buffer.buffer_size and (every <= 0 or done % every == 0))


def take(model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of the rollout in progress, which are the algorithm's own, and their JSON description."""
    buffer = model.rollout_buffer
    rows = {name: array[: buffer.pos] for name, array in replay.rows_of(buffer)}
    shapes = {name: [array.dtype.str, list(array.shape[1:])] for name, array in rows.items()}
    noise = {name: tensor.detach().cpu().numpy() for name, tensor in _noise_of(model).items()}
    return {**rows, **noise}, {
        "class": class_name(buffer),
        "capacity": int(buffer.buffer_size),
        "rows": int(buffer.pos),
        "arrays": shapes,
        "noise": {name: [array.dtype.str, list(array.shape)] for name, array in noise.items()},
    }


@dataclass(frozen=True, slots=True)
class Rest:
    """What a resumed rollout begins with.

    Attributes:
        rows: arrays of the rollout buffer by name, of the steps that were done.
        noise: the exploration matrices of gSDE, if in use.
        count: steps that were done.
    """

    rows: Mapping[str, Any]
    noise: Mapping[str, Any]
    count: int

    @classmethod
    def read(cls, description: Mapping[str, Any], model: Any, directory: Place) -> "Rest":
        """Read the rows and check that they fit the algorithm, which is not changed.

        Raises:
            BackendError: its rollout buffer has another class, length or shape.
            DamagedError: the file is not what the description says.
        """
        buffer = getattr(model, "rollout_buffer", None)
        if buffer is None or class_name(buffer) != description["class"]:
            raise BackendError(f"the rollout buffer is a {class_name(buffer)}, the saved one a {description['class']}")
        if int(buffer.buffer_size) != description["capacity"]:
            raise BackendError(
                f"a rollout is {buffer.buffer_size} steps long, in the checkpoint {description['capacity']}",
                hint="build the algorithm with the n_steps of the checkpoint: it was saved inside a rollout",
            )
        empty = _emptied(buffer)
        live = {name: [array.dtype.str, list(array.shape[1:])] for name, array in replay.rows_of(empty)}
        noise = {name: list(tensor.shape)[-2:] for name, tensor in _noise_of(model).items()}
        if live != description["arrays"] or noise != {n: shape[-2:] for n, (_, shape) in description["noise"].items()}:
            raise BackendError("the rows of the rollout buffer have another shape than those in the checkpoint")
        count = description["rows"]
        if type(count) is not int or not 0 < count < buffer.buffer_size:
            raise DamagedError(f"{ROLLOUT}: {count} rows are no part of a rollout of {buffer.buffer_size}")
        wanted = {name: (dtype, (count, *shape)) for name, (dtype, shape) in description["arrays"].items()}
        wanted |= {name: (dtype, tuple(shape)) for name, (dtype, shape) in description["noise"].items()}
        if replay.headers(directory / ROLLOUT) != wanted:
            raise DamagedError(f"{ROLLOUT}: its arrays have other names, shapes or dtypes than state.json notes")
        found = read_npz(directory / ROLLOUT)
        return cls({n: found[n] for n in live}, {n: found[n] for n in noise}, count)

    def put(self, model: Any) -> None:
        """Put the rows (and matrices) into an algorithm."""
        import torch

        buffer = model.rollout_buffer
        buffer.reset()
        for name, array in replay.rows_of(buffer):
            array[: self.count] = self.rows[name]
        buffer.pos = self.count
        for name, array in self.noise.items():
            old = getattr(model.policy.action_dist, name)
            setattr(model.policy.action_dist, name, torch.from_numpy(array.copy()).to(old.device))


def finish(model: Any, progress: Progress, rest: Rest, put_generators: Callable[[], None]) -> None:
    """Let the next ``collect_rollouts`` finish the rollout in progress.

    Args:
        model: the algorithm, in a ``learn`` that has just begun.
        progress: of the algorithm; ``rest`` in it is called by the wrapper of ``collect_rollouts``.
        rest: the rows that were collected.
        put_generators: called when nothing will draw numbers any more before the policy does.
    """
    steps = model.num_timesteps
    if steps >= model._total_timesteps:  # saved past the end, in the last rollout: learn() must enter its loop
        model.num_timesteps = model._total_timesteps - 1
    progress.rest = partial(_begin, model, progress, rest, put_generators, steps)


def _begin(
    model: Any, progress: Progress, rest: Rest, put_generators: Callable[[], None], steps: int, wanted: int
) -> int:
    """Arrange for the rows to be put back at the first step; return how many steps of the rollout are left."""
    model.num_timesteps = steps
    handle: Any = None

    def put(*_: Any) -> None:
        handle.remove()
        rest.put(model)
        progress.rest = progress.partial = None
        put_generators()

    handle = model.policy.register_forward_pre_hook(put)
    return wanted - rest.count


def _noise_of(model: Any) -> dict[str, Any]:
    if not getattr(model, "use_sde", False):
        return {}
    return {name: getattr(model.policy.action_dist, name) for name in _NOISE}


def _emptied(buffer: Any) -> Any:
    clone = copy.copy(buffer)
    clone.reset()
    return clone
