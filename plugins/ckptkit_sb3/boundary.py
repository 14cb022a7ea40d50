"""Clean boundaries: when SB3 is between two rollouts, so that nothing is in flight, and saving exactly there.

Inside ``_on_step`` (where SB3's own CheckpointCallback saves) the environment has made its step but the transition is
not stored yet: a run resumed from there differs. The entry of ``collect_rollouts`` is clean for every algorithm.
"""

import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ckptkit.errors import BackendError, UsageError

_IN_TRAINING = ("learn", "collect_rollouts", "train")
_HINT = "save from ckptkit_sb3.CheckpointBoundary, before learn(), or after it"


@dataclass(slots=True)
class Progress:
    """What is known of a live algorithm beside its own attributes.

    Attributes:
        episodes: finished episodes over all environments (SB3's on-policy algorithms do not count them).
        requested_at: ``num_timesteps`` at which the save now being taken was asked for.
        cut_short: the last rollout was stopped by a callback, between a step and its storing.
        barrier: seed with which the environments were reset for the save now being taken.
        at_boundary: a boundary callback is saving now (perhaps in another thread, whose stack would not show it).
        callbacks: the boundary callbacks of the ``learn`` that is running.
    """

    episodes: int | None = None
    requested_at: int | None = None
    cut_short: bool = False
    barrier: int | None = None
    at_boundary: bool = False
    callbacks: list[Any] = field(default_factory=list)


_PROGRESS: "weakref.WeakKeyDictionary[Any, Progress]" = weakref.WeakKeyDictionary()


def progress_of(model: Any) -> Progress:
    """Return (and begin, if new) what is known of a live algorithm."""
    return _PROGRESS.setdefault(model, Progress())


def episodes_of(model: Any) -> int | None:
    """Return the number of finished episodes, or None where nobody counted them."""
    counted = progress_of(model).episodes
    if counted is not None:
        return counted
    own = int(getattr(model, "_episode_num", 0))
    return own if own or not model.num_timesteps else None


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
    """Find out from the call stack where in its training an algorithm is.

    Raises:
        BackendError: inside a rollout or an update, where state is in flight.
    """
    names = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_name
        if name == "on_rollout_start" or (name in _IN_TRAINING and frame.f_locals.get("self") is model):
            names.add(name)
        frame = frame.f_back
    if "train" in names or ("collect_rollouts" in names and "on_rollout_start" not in names):
        raise BackendError("the agent cannot be saved in the middle of a rollout or an update", hint=_HINT)
    inside = "learn" in names or progress_of(model).at_boundary
    if "collect_rollouts" in names and getattr(model, "use_sde", False):
        return Position(inside, "saved after the exploration noise of the rollout was drawn")
    if not inside and (progress_of(model).cut_short or _cut_short(model)):
        return Position(inside, "learn() was stopped by a callback between a step and its storing")
    return Position(inside)


def CheckpointBoundary(  # reads as the callback class that it returns
    save: Callable[[Any], object],
    *,
    every_steps: int | None = None,
    every_episodes: int | None = None,
    barrier: int | None = None,
) -> Any:
    """Return an SB3 callback that saves at the next clean boundary after an interval has passed.

    Args:
        save: called with the algorithm when its state is clean, for example
            ``lambda model: store.save("ppo/run1", model.num_timesteps, {"agent": model})``.
        every_steps: ask for a save each time ``num_timesteps`` passes a multiple of it.
        every_episodes: ask for a save each time the number of finished episodes passes a multiple of it.
        barrier: for environments whose state cannot be captured: reset all of them before each save, with a seed
            derived from this one and ``num_timesteps``. The run then differs from one without checkpoints, but a
            resumed run equals an uninterrupted one.

    Returns:
        A ``BaseCallback`` with the method ``request()``, which asks for a save at the next boundary.

    Raises:
        UsageError: an interval below 1.
    """
    for interval in (every_steps, every_episodes):
        if interval is not None and interval < 1:
            raise UsageError(f"an interval of {interval} between checkpoints", hint="give 1 or more, or leave it out")
    return _callback_class()(save, every_steps, every_episodes, barrier)


_CLASSES: list[type] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # noqa: C901  # a class in a function: SB3 may not be imported at module level
    from stable_baselines3.common.callbacks import BaseCallback

    class BoundaryCallback(BaseCallback):  # type: ignore[misc]  # SB3 is optional: its classes are Any for mypy
        """Asks for saves while steps go by; saves at the entry of ``collect_rollouts`` and at the end of training."""

        def __init__(self, save: Any, every_steps: int | None, every_episodes: int | None, barrier: int | None) -> None:
            super().__init__()
            self._barrier = barrier
            self._save = save
            self._every_steps = every_steps
            self._every_episodes = every_episodes
            self._requested: int | None = None

        def request(self) -> None:
            """Ask for a save at the next clean boundary."""
            self._requested = self.model.num_timesteps

        def _init_callback(self) -> None:
            if not hasattr(self.model, "collect_rollouts"):
                raise BackendError(
                    f"{type(self.model).__name__} has no collect_rollouts, at whose entry its state would be clean",
                    hint="save before or after learn()",
                )
            progress_of(self.model).callbacks.clear()  # those of an earlier learn() that was interrupted

        def _on_training_start(self) -> None:
            progress = progress_of(self.model)
            progress.cut_short = False
            if progress.episodes is None:
                progress.episodes = episodes_of(self.model) or 0
            self._steps, self._episodes = self.model.num_timesteps, progress.episodes
            progress.callbacks.append(self)
            _install(self.model, progress)

        def _on_step(self) -> bool:
            progress, now = progress_of(self.model), self.model.num_timesteps
            if progress.callbacks[0] is self:  # one of them counts for all
                progress.episodes = (progress.episodes or 0) + sum(map(bool, self.locals["dones"]))
            done = progress.episodes or 0
            due = _passed(self._every_steps, self._steps, now)
            due |= _passed(self._every_episodes, self._episodes, done)
            self._steps, self._episodes = now, done
            if due and self._requested is None:
                self._requested = now
            return True

        def _on_training_end(self) -> None:
            _uninstall(self.model)
            if not progress_of(self.model).cut_short:
                self.save_if_requested()

        def save_if_requested(self) -> None:
            """Save now if a save was asked for; the state must be clean."""
            if self._requested is None:
                return
            progress = progress_of(self.model)
            progress.requested_at, self._requested = self._requested, None
            if self._barrier is not None:
                progress.barrier = reset_with_seed(self.model, self._barrier)
            progress.at_boundary = True
            try:
                self._save(self.model)
            finally:
                progress.requested_at, progress.barrier, progress.at_boundary = None, None, False

    return BoundaryCallback


def reset_with_seed(model: Any, seed: int) -> int:
    """Reset all environments of an algorithm with a seed derived from another and ``num_timesteps``; return it.

    The episodes that were running end without a terminal transition: the next ones begin.
    """
    import numpy as np

    derived = int(np.random.SeedSequence([seed, model.num_timesteps]).generate_state(1)[0])
    model.env.seed(derived)
    model._last_obs = model.env.reset()
    model._last_episode_starts = np.ones((model.env.num_envs,), dtype=bool)
    if model._vec_normalize_env is not None:
        model._last_original_obs = model._vec_normalize_env.get_original_obs()
    if getattr(model, "action_noise", None) is not None:
        model.action_noise.reset()
    return derived


def _passed(interval: int | None, before: int, now: int) -> bool:
    return interval is not None and now // interval > before // interval


def _install(model: Any, progress: Progress) -> None:
    """Let saves happen at the entry of ``collect_rollouts``, on this instance only."""
    _uninstall(model)
    collect = model.collect_rollouts
    excluded = model._excluded_save_params

    def collect_rollouts(*args: Any, **kwargs: Any) -> Any:
        for callback in progress.callbacks:
            callback.save_if_requested()
        result = collect(*args, **kwargs)
        progress.cut_short = not getattr(result, "continue_training", result)
        return result

    model.collect_rollouts = collect_rollouts
    # Without this, any other callback that saves the model would pickle both functions into its zip.
    model._excluded_save_params = lambda: [*excluded(), "collect_rollouts", "_excluded_save_params"]


def _uninstall(model: Any) -> None:
    for name in ("collect_rollouts", "_excluded_save_params"):
        vars(model).pop(name, None)


def _cut_short(model: Any) -> bool:
    rollout = getattr(model, "rollout_buffer", None)
    if rollout is not None:
        return bool(0 < rollout.pos < rollout.buffer_size)
    replay = getattr(model, "replay_buffer", None)
    if replay is None or not model.num_timesteps:
        return False
    return bool((model.num_timesteps // model.n_envs - replay.pos) % replay.buffer_size == 1)
