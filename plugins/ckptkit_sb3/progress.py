"""What is known about a live algorithm besides its own attributes, and where in its training a save is taken."""

import sys
import weakref
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

from ckptkit.errors import BackendError

Kind = Literal["step", "episode", "rollout"]

_IN_TRAINING = ("learn", "collect_rollouts", "train", "_do_one_update")
_HINT = "save from ckptkit_sb3.CheckpointBoundary, before learn(), or after it"


@dataclass(frozen=True, slots=True)
class Saving:
    """What a boundary callback is doing now: a save that was asked for, or a note of the state.

    Attributes:
        requested_at: ``num_timesteps`` at which the save was asked for; None for a note.
        kind: at which kind of boundary it is taken.
        barrier: seed with which the environments were reset for it.
    """

    requested_at: int | None = None
    kind: Kind = "rollout"
    barrier: int | None = None


@dataclass(slots=True)
class Progress:
    """What is known about a live algorithm besides its own attributes.

    Attributes:
        episodes: finished episodes over all environments (SB3's on-policy algorithms do not count them).
        cut_short: the last rollout was stopped by a callback, between taking a step and storing it.
        saving: what a boundary callback is doing now, if one is.
        callbacks: the boundary callbacks of the ``learn`` that is running.
        partial: ``(rows, num_timesteps)`` where the algorithm stands between two steps of a rollout, and the rows of
            its rollout buffer count: while it is saved there, and from a load of such a save on.
        start: nodes of the settings when training began, or when it was resumed: what the program gave.
        built: how the algorithm was built then, as ``structure_at_start`` says it.
        env: the environments that it had then, as a weak reference: what others hold is saved under other numbers.
        watched: the callbacks of the ``learn`` that is running.
        rest: puts rows and generators back at the first step of the rollout that a resumed ``learn`` finishes.
    """

    episodes: int | None = None
    cut_short: bool = False
    saving: Saving | None = None
    callbacks: list[Any] = field(default_factory=list)
    partial: tuple[int, int] | None = None
    rest: Any = None
    start: dict[str, Any] | None = None
    built: dict[str, str] | None = None
    env: Any = None
    watched: Any = None


_PROGRESS: "weakref.WeakKeyDictionary[Any, Progress]" = weakref.WeakKeyDictionary()


def progress_of(model: Any) -> Progress:
    """Return (and begin, if new) what is known of a live algorithm."""
    return _PROGRESS.setdefault(model, Progress())


def note_start(model: Any, settings: dict[str, Any], built: dict[str, str]) -> None:
    """Note what an algorithm is when its training begins, or goes on in a new process."""
    progress = progress_of(model)
    progress.start, progress.built = settings, built
    progress.env = None if model.env is None else weakref.ref(model.env)


def has_other_env(model: Any) -> bool:
    """Return whether training has given the algorithm other environments than it began with."""
    noted = progress_of(model).env
    return noted is not None and noted() is not model.env


def episodes_of(model: Any) -> int | None:
    """Return the number of finished episodes, or None if they were not counted."""
    counted = progress_of(model).episodes
    if counted is not None:
        return counted
    own = int(getattr(model, "_episode_num", 0))
    return own if own or not model.num_timesteps else None


def in_rollout(model: Any) -> bool:
    """Return whether the algorithm stands between two steps of a rollout, so that its rows belong to its state."""
    rollout, partial = getattr(model, "rollout_buffer", None), progress_of(model).partial
    return rollout is not None and partial is not None and partial == (rollout.pos, model.num_timesteps)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a save stands.

    Attributes:
        inside_learn: ``learn`` is running, so that a resume calls it again (which resets the action noise).
        reason: why the place is not clean although saving is allowed; None when it is clean.
    """

    inside_learn: bool
    reason: str | None = None


def position_of(model: Any) -> Position:
    """Find out where in its training an algorithm is.

    Raises:
        BackendError: inside a rollout or an update, where state is in flight.
    """
    if in_rollout(model) or progress_of(model).saving is not None:
        return Position(inside_learn=True)
    # A save that no callback of ours asked for (``store.save`` in somebody's own ``_on_step``): SB3 tells its callbacks
    # where it is, but not the algorithm, which is all that is known here. So the call stack must say it.
    names = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_name
        if name == "on_rollout_start" or (name in _IN_TRAINING and frame.f_locals.get("self") is model):
            names.add(name)
        frame = frame.f_back
    if {"train", "_do_one_update"} & names or ("collect_rollouts" in names and "on_rollout_start" not in names):
        raise BackendError("the agent cannot be saved in the middle of a rollout or an update", hint=_HINT)
    inside = "learn" in names
    if "collect_rollouts" in names and getattr(model, "use_sde", False):
        return Position(inside, "saved after the exploration noise of the rollout was drawn")
    if not inside and (progress_of(model).cut_short or _cut_short(model)):
        return Position(inside, "learn() was stopped by a callback between taking a step and storing it")
    return Position(inside)


def _cut_short(model: Any) -> bool:
    rollout = getattr(model, "rollout_buffer", None)
    if rollout is not None:
        return bool(0 < rollout.pos < rollout.buffer_size)
    replay = getattr(model, "replay_buffer", None)
    if replay is None or not model.num_timesteps:
        return False
    return bool((model.num_timesteps // model.n_envs - replay.pos) % replay.buffer_size == 1)
