"""The callback that puts a loaded state back once ``learn`` has set itself up. Importing it imports SB3."""

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from ckptkit.errors import BackendError
from ckptkit_sb3 import cycle, rollout
from ckptkit_sb3.progress import progress_of


class ResumeCallback(BaseCallback):  # type: ignore[misc]  # SB3 is optional: its classes are Any for mypy
    """Puts the state of a ``Resumed`` back, in the first ``learn``."""

    def __init__(self, resumed: Any) -> None:
        super().__init__()
        self._resumed = resumed
        self._done = not resumed.inside_learn

    def _on_training_start(self) -> None:
        if self._done:
            return
        resumed = self._resumed
        if self.model is not resumed.model:
            raise BackendError("this callback belongs to another agent", hint="call learn on resumed.model")
        buffer = getattr(self.model, "replay_buffer", None)
        if self.model.num_timesteps == 0 and getattr(buffer, "optimize_memory_usage", False):
            raise BackendError(
                "learn() has cut the last trajectory of the replay buffer",
                hint="call learn(..., reset_num_timesteps=False)",
            )
        cycle.begin(self.model, self.locals)  # before anything is put back: what the program gave
        resumed.put_back(started=True)
        self._put_callbacks()
        if resumed.rest is not None:
            cycle.install(self.model)
            # At its first step once more: a rollout has just been begun twice.
            rollout.finish(self.model, progress_of(self.model), resumed.rest, self._put_callbacks)
        self._done = True

    def _put_callbacks(self) -> None:
        self._resumed.put_callbacks(self.locals["callback"])
        self._resumed.put_generators()

    def _on_training_end(self) -> None:
        cycle.uninstall(self.model)
        if not progress_of(self.model).callbacks:  # else a boundary callback may still save
            progress_of(self.model).watched = None

    def _on_step(self) -> bool:
        return True
