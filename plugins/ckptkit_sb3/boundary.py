"""Clean boundaries: when SB3 has nothing in flight, and saving exactly there.

Inside ``_on_step`` (where SB3's own CheckpointCallback saves) the environment has made its step but the transition is
not stored yet: a run resumed from there differs. The entry of ``collect_rollouts`` is clean for every algorithm; for
on-policy ones, whose rollouts are long, so is the head of each step (``rollout``).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ckptkit.errors import BackendError, UsageError
from ckptkit_sb3 import callbacks, environments, rollout, settings
from ckptkit_sb3.progress import Kind, Progress, episodes_of, progress_of

__all__ = ["CheckpointBoundary", "begin", "cycle_of", "install", "progress_of", "reset_with_seed", "uninstall"]

_CYCLES = ("collect_rollouts", "_do_one_update")
"""Of all algorithms of SB3 and sb3-contrib but ARS; of ARS, which evaluates a population in each update."""
TELLS_EPISODES = frozenset({"collect_rollouts"})
MidRollout = bool | Literal["auto"]


def CheckpointBoundary(  # reads as the callback class that it returns
    save: Callable[[Any], object],
    *,
    every_steps: int | None = None,
    every_episodes: int | None = None,
    barrier: int | None = None,
    mid_rollout: MidRollout = "auto",
    factories: Mapping[str, Callable[[], Any]] | None = None,
    note: Callable[[Any], object] | None = None,
) -> Any:
    """Return an SB3 callback that saves at the next clean boundary after an interval has passed.

    The item says where that was (``SavedItem.boundary``, in the manifest's ``boundary``): ``kind`` is ``step`` or
    ``episode`` where the rollout was still going on, ``rollout`` where the save had to wait for its end;
    ``requested_at`` and ``saved_at`` are ``num_timesteps``.

    Args:
        save: called with the algorithm when its state is clean, for example
            ``lambda model: store.save("ppo/run1", model.num_timesteps, {"agent": model})``.
        every_steps: ask for a save each time ``num_timesteps`` passes a multiple of it.
        every_episodes: ask for a save each time the number of finished episodes passes a multiple of it.
        barrier: for environments whose state cannot be captured: reset all of them before each save, with a seed
            derived from this one and ``num_timesteps``. The run then differs from one without checkpoints, but a
            resumed run equals an uninterrupted one.
        mid_rollout: whether on-policy algorithms are saved inside a rollout, right after the step or episode that asked
            for it, or at its end (``False``). ``"auto"``: inside where that is exact, else at its end. ``True``: refuse
            to train where it never is; such a save may also lie past ``total_timesteps``, in the last rollout: finish
            it with ``Resumed.learn``.
        factories: ``env`` builds one more environment, for a self-test in another process, where the environment
            cannot be built anew from what it says of itself.
        note: called with the algorithm at each clean boundary that follows an update, before a save there; for example
            ``lambda model: observer.note(model.num_timesteps, {"agent": model})``.

    Returns:
        A ``BaseCallback`` with the method ``request()``, which asks for a save at the next boundary.

    Raises:
        UsageError: an interval below 1, or ``mid_rollout=True`` with a barrier.
    """
    if mid_rollout is True and barrier is not None:
        raise UsageError("a barrier resets the environments, inside a rollout too", hint="leave mid_rollout out")
    for interval in (every_steps, every_episodes):
        if interval is not None and interval < 1:
            raise UsageError(
                f"{interval} is not an interval between checkpoints", hint="give 1 or more, or leave it out"
            )
    mid: MidRollout = False if barrier is not None else mid_rollout
    return _callback_class()(save, every_steps, every_episodes, barrier, mid, (factories or {}).get("env"), note)


_CLASSES: list[type] = []


def _callback_class() -> Any:
    if not _CLASSES:
        _CLASSES.append(_build_class())
    return _CLASSES[0]


def _build_class() -> type:  # noqa: C901  # a class in a function: SB3 may not be imported at module level
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    class BoundaryCallback(BaseCallback):  # type: ignore[misc]  # SB3 is optional: its classes are Any for mypy
        """Asks for saves while steps go by; saves at the entry of ``collect_rollouts`` and at the end of training."""

        def __init__(
            self,
            save: Any,
            steps: int | None,
            episodes: int | None,
            barrier: int | None,
            mid: Any,
            fresh_env: Any,
            note: Any,
        ) -> None:
            super().__init__()
            self._note = note
            self._seen: tuple[int, Any] | None = None
            self._fresh_env = fresh_env
            self._save = save
            self._every_steps = steps
            self._every_episodes = episodes
            self._barrier = barrier
            self._mid = mid
            self._requested: int | None = None
            self._kind: Kind = "step"
            self._hook: Any = None

        def request(self) -> None:
            """Ask for a save at the next clean boundary."""
            if self._requested is None:
                self._requested, self._kind = self.model.num_timesteps, "step"

        def _init_callback(self) -> None:
            if cycle_of(self.model) not in TELLS_EPISODES and self._every_episodes is not None:
                raise BackendError(
                    f"{type(self.model).__name__} does not tell its callbacks where episodes end",
                    hint="give every_steps",
                )
            hindrance = rollout.obstacle(self.model)
            if self._mid is True and hindrance is not None:
                raise BackendError(f"mid_rollout=True: {hindrance}", hint='mid_rollout="auto" saves at its end')
            self._splits = bool(self._mid) and hindrance is None
            progress_of(self.model).callbacks.clear()  # those of an earlier learn() that was interrupted

        def _on_training_start(self) -> None:
            progress = progress_of(self.model)
            progress.cut_short = False
            if self.locals.get("async_eval") is not None:
                raise BackendError(
                    "AsyncEval: the environments of its processes cannot be reached", hint="train without async_eval"
                )
            if progress.episodes is None and cycle_of(self.model) in TELLS_EPISODES:
                progress.episodes = episodes_of(self.model) or 0
            self._steps, self._episodes = self.model.num_timesteps, progress.episodes or 0
            progress.callbacks.append(self)
            self._seen = None
            begin(self.model, self.locals)
            install(self.model)
            environments.begin(self.model.env, self._fresh_env, barrier=self._barrier is not None)

        def _on_step(self) -> bool:
            progress, now = progress_of(self.model), self.model.num_timesteps
            if progress.callbacks[0] is self and progress.episodes is not None:  # one of them counts for all
                progress.episodes += sum(map(bool, self.locals["dones"]))
            done = progress.episodes or 0
            by_episodes = _passed(self._every_episodes, self._episodes, done)
            due = by_episodes or _passed(self._every_steps, self._steps, now)
            self._steps, self._episodes = now, done
            if due and self._requested is None:
                self._requested, self._kind = now, "episode" if by_episodes else "step"
            # Past the end of training the rollout's own end comes soon, and needs no learn() to finish it.
            here = self._splits and (self._mid is True or now < self.model._total_timesteps)
            if self._requested is not None and here and self._hook is None:
                self._hook = self.model.policy.register_forward_pre_hook(self._at_policy)
            return True

        def _at_policy(self, *_: Any) -> None:
            if not rollout.at_head_of_step(self.model):
                return
            progress, buffer = progress_of(self.model), self.model.rollout_buffer
            progress.partial = (buffer.pos, self.model.num_timesteps)
            try:
                with torch.enable_grad():  # SB3 calls the policy without
                    self._save_now(self._kind)
            finally:
                progress.partial = None

        def _on_training_end(self) -> None:
            uninstall(self.model)
            if not progress_of(self.model).cut_short:
                self.save_if_requested()
            progress_of(self.model).watched = None
            self._disarm()

        def note_if_updated(self) -> None:
            """Tell of a boundary that lies behind an update of this ``learn``; the state must be clean."""
            here = (self.model.num_timesteps, getattr(self.model, "_n_updates", None))
            before, self._seen = self._seen, here
            moved = before is not None and here[0] > before[0] and (here[1] is None or here[1] != before[1])
            if moved and self._note is not None:
                self._at_boundary(self._note)

        def save_if_requested(self) -> None:
            """Save now if a save was asked for; the state must be clean."""
            if self._requested is not None and progress_of(self.model).rest is None:
                self._save_now("rollout")

        def _save_now(self, kind: Kind) -> None:
            self._disarm()
            progress = progress_of(self.model)
            progress.requested_at, progress.kind, self._requested = self._requested, kind, None
            if self._barrier is not None:
                progress.barrier = reset_with_seed(self.model, self._barrier)
            try:
                self._at_boundary(self._save)
            finally:
                progress.requested_at, progress.barrier = None, None
                progress.kind = "rollout"

        def _at_boundary(self, act: Callable[[Any], object]) -> None:
            progress_of(self.model).at_boundary = True
            try:
                act(self.model)
            finally:
                progress_of(self.model).at_boundary = False

        def _disarm(self) -> None:
            if self._hook is not None:
                self._hook.remove()
                self._hook = None

    return BoundaryCallback


def begin(model: Any, variables: Mapping[str, Any]) -> None:
    """Note, as training starts, what the program gave: settings, and the callbacks' plain values.

    Args:
        model: the algorithm.
        variables: the local variables of its ``learn``, which SB3 tells to callbacks.
    """
    progress = progress_of(model)
    if progress.start is None:
        progress.start, _ = settings.take(model)
    if variables.get("callback") is not None:
        progress.watched = callbacks.watch(model, variables["callback"], progress.watched)


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
        if cycle in TELLS_EPISODES:  # ARS returns nothing: it goes on, whatever its callbacks say
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
