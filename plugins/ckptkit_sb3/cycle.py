"""Where SB3 has nothing in flight: the entry of ``collect_rollouts``, again and again; ours while ``learn`` is running.

Inside ``_on_step`` (where SB3's own CheckpointCallback saves) the environment has made its step but the transition is
not stored yet: a run resumed from there differs. The entry of ``collect_rollouts`` is clean for every algorithm.
"""

from collections.abc import Mapping
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_sb3 import callbacks, settings, structure_at_start
from ckptkit_sb3.progress import Progress, note_start, progress_of

_CYCLES = ("collect_rollouts", "_do_one_update")
"""Of all algorithms of SB3 and sb3-contrib but ARS; of ARS, which evaluates a population in each update."""


def cycle_of(model: Any) -> str:
    """Return the method at whose entry an algorithm has nothing in flight, again and again in a training.

    Raises:
        BackendError: it is built in another way, so that no such moment is known.
    """
    for name in _CYCLES:
        if hasattr(model, name):
            return name
    raise BackendError(
        f"{type(model).__name__} has no {' or '.join(_CYCLES)}, at whose entry its state would be clean: it cannot be"
        " saved while learn() runs",
        hint="save it with CheckpointStore.save before or after learn()",
    )


def tells_episodes(model: Any) -> bool:
    """Return whether an algorithm tells its callbacks where episodes end; ARS does not."""
    return cycle_of(model) == "collect_rollouts"


def begin(model: Any, variables: Mapping[str, Any]) -> None:
    """Note, as training starts, what the program gave: settings and parts, and the callbacks' plain values.

    Args:
        model: the algorithm.
        variables: the local variables of its ``learn``, which SB3 tells to callbacks.
    """
    progress = progress_of(model)
    if progress.start is None:
        note_start(model, settings.take(model)[0], structure_at_start.describe(model))
    if variables.get("callback") is not None:
        progress.watched = callbacks.watch(model, variables["callback"], progress.watched)


def install(model: Any) -> None:
    """Let saves happen at the entry of ``collect_rollouts``, and a rollout be finished, on this instance only."""
    uninstall(model)
    progress, cycle = progress_of(model), cycle_of(model)
    collect = getattr(model, cycle)
    excluded = model._excluded_save_params

    def at_entry(*args: Any, **kwargs: Any) -> Any:
        for callback in progress.callbacks:
            callback.note_if_updated()
            callback.save_if_requested()
        if progress.rest is not None:
            args, kwargs = _rest_only(progress, args, kwargs)
        result = collect(*args, **kwargs)
        if tells_episodes(model):  # ARS returns nothing: it goes on, whatever its callbacks say
            progress.cut_short = not getattr(result, "continue_training", result)
        return result

    vars(model)[cycle] = at_entry
    # Without this, any other callback that saves the model would pickle both functions into its zip.
    model._excluded_save_params = lambda: [*excluded(), cycle, "_excluded_save_params"]


def uninstall(model: Any) -> None:
    """Take away what ``install`` put on the instance."""
    for name in (*_CYCLES, "_excluded_save_params"):
        vars(model).pop(name, None)


def _rest_only(progress: Progress, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Return the arguments of ``collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)`` for the rest."""
    if "n_rollout_steps" in kwargs:
        return args, {**kwargs, "n_rollout_steps": progress.rest(kwargs["n_rollout_steps"])}
    return (*args[:3], progress.rest(args[3]), *args[4:]), kwargs
