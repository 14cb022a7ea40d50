"""The callback that saves at clean boundaries. Importing it imports SB3: ``boundary`` does so when one is made.

It asks for saves while steps go by. They happen at the entry of ``collect_rollouts`` (``cycle``), at the end of
training, and, of on-policy algorithms, whose rollouts are long, at the head of a step inside a rollout (``rollout``).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from ckptkit.errors import BackendError
from ckptkit_sb3 import environments, rollout
from ckptkit_sb3.cycle import begin, install, tells_episodes, uninstall
from ckptkit_sb3.progress import Kind, Saving, episodes_of, progress_of


class BoundaryCallback(BaseCallback):  # type: ignore[misc]  # SB3 is optional: its classes are Any for mypy
    """See ``CheckpointBoundary`` for the arguments."""

    def __init__(
        self,
        save: Callable[[Any], object],
        *,
        every_steps: int | None,
        every_episodes: int | None,
        barrier: int | None,
        mid_rollout: Any,
        fresh_env: Callable[[], Any] | None,
        note: Callable[[Any], object] | None,
    ) -> None:
        super().__init__()
        self._save = save
        self._every_steps = every_steps
        self._every_episodes = every_episodes
        self._barrier = barrier
        self._mid = mid_rollout
        self._fresh_env = fresh_env
        self._note = note
        self._requested: tuple[int, Kind] | None = None
        self._seen: tuple[int, Any] | None = None
        self._hook: Any = None

    def request(self) -> None:
        """Ask for a save at the next clean boundary."""
        self._ask("step")

    def _ask(self, kind: Kind) -> None:
        if self._requested is None:
            self._requested = self.model.num_timesteps, kind

    def _init_callback(self) -> None:
        if self._every_episodes is not None and not tells_episodes(self.model):
            raise BackendError(
                f"{type(self.model).__name__} does not tell its callbacks where episodes end", hint="give every_steps"
            )
        hindrance = rollout.obstacle(self.model)
        if self._mid is True and hindrance is not None:
            raise BackendError(f"mid_rollout=True: {hindrance}", hint='mid_rollout="auto" saves at its end')
        self._splits = bool(self._mid) and hindrance is None
        progress = progress_of(self.model)
        for left_over in progress.callbacks:  # of an earlier learn() that was interrupted
            left_over.disarm()
        progress.callbacks.clear()

    def _on_training_start(self) -> None:
        progress = progress_of(self.model)
        progress.cut_short = False
        if self.locals.get("async_eval") is not None:
            raise BackendError(
                "AsyncEval: the environments of its processes cannot be reached", hint="train without async_eval"
            )
        if progress.episodes is None and tells_episodes(self.model):
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
        if by_episodes or _passed(self._every_steps, self._steps, now):
            self._ask("episode" if by_episodes else "step")
        self._steps, self._episodes = now, done
        # Past the end of training the rollout's own end comes soon, and needs no learn() to finish it.
        here = self._splits and (self._mid is True or now < self.model._total_timesteps)
        if here and self._requested is not None and self._hook is None:
            at_policy = partial(self._at_policy, self.model.rollout_buffer.pos)
            self._hook = self.model.policy.register_forward_pre_hook(at_policy)
        return True

    def _at_policy(self, rows: int, *_: Any) -> None:
        if not rollout.at_head_of_step(self.model, rows):
            return
        progress, buffer = progress_of(self.model), self.model.rollout_buffer
        progress.partial = (buffer.pos, self.model.num_timesteps)
        try:
            with torch.enable_grad():  # SB3 calls the policy without
                self._save_now()
        finally:
            progress.partial = None

    def _on_training_end(self) -> None:
        uninstall(self.model)
        if not progress_of(self.model).cut_short:
            self.save_if_requested()
        progress_of(self.model).watched = None
        self.disarm()

    def note_if_updated(self) -> None:
        """Report a boundary after an update of this ``learn``; the state must be clean."""
        here = (self.model.num_timesteps, getattr(self.model, "_n_updates", None))
        before, self._seen = self._seen, here
        moved = before is not None and here[0] > before[0] and (here[1] is None or here[1] != before[1])
        if moved and self._note is not None:
            self._act(self._note, Saving())

    def save_if_requested(self) -> None:
        """Save now, between two rollouts, if a save was asked for; the state must be clean."""
        if self._requested is not None and progress_of(self.model).rest is None:
            self._requested = self._requested[0], "rollout"
            self._save_now()

    def disarm(self) -> None:
        """Wait for no head of a step any more."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _save_now(self) -> None:
        self.disarm()
        requested, self._requested = self._requested, None
        assert requested is not None
        seed = None if self._barrier is None else _reset_with_seed(self.model, self._barrier)
        self._act(self._save, Saving(*requested, barrier=seed))

    def _act(self, act: Callable[[Any], object], saving: Saving) -> None:
        progress_of(self.model).saving = saving
        try:
            act(self.model)
        finally:
            progress_of(self.model).saving = None


def _reset_with_seed(model: Any, seed: int) -> int:
    """Reset all environments of an algorithm with a seed derived from another and ``num_timesteps``; return it.

    The episodes that were running end without a terminal transition: the next ones begin.
    """
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
