"""The callback behind ``ckptkit_hooks.sb3.CheckpointCallback``. Importing it imports SB3."""

from typing import Any

from ckptkit_sb3 import cycle_of
from stable_baselines3.common.callbacks import CallbackList

from ckptkit_hooks import sb3_proof
from ckptkit_hooks.keeper import Keeper
from ckptkit_hooks.sb3_proof import ITEM, Proving
from ckptkit_hooks.sigterm import StopRequest


class CheckpointCallback(CallbackList):  # type: ignore[misc]  # SB3 is optional: its classes are Any for mypy
    """Saves through the boundary; turns a SIGTERM into a request for a save."""

    def __init__(self, keeper: Keeper, stop: StopRequest, boundary: Any, proof: Proving) -> None:
        super().__init__([boundary])
        self._proof = proof
        self._keeper = keeper
        self._stop = stop
        self._boundary = boundary

    def save(self) -> None:
        """Ask for a save at the next clean boundary."""
        self._boundary.request()

    def resume_or_start(
        self, model: Any, total_timesteps: int, *, ref: str | None = None, callback: Any = None, **learn: Any
    ) -> Any:
        """Put the newest checkpoint that verifies into the model, train until ``total_timesteps``, return it.

        Args:
            model: built as in the training that is resumed.
            total_timesteps: of the whole training, not of the rest.
            ref: ``RUN@STEP`` or ``RUN@best``, to resume from one other than the newest.
            callback: other callbacks.
            learn: more arguments of ``learn``.

        Raises:
            NothingResumableError: there are checkpoints, but none that verifies.
            BackendError: the state does not fit the model, which is unchanged; or the algorithm cannot be saved
                while it trains.
        """
        cycle_of(model)
        callbacks = [self, *(callback if isinstance(callback, list) else [callback] if callback else [])]
        sb3_proof.keep_apart(model, callbacks)
        restored = self._keeper.restore({ITEM: model}, ref)
        if restored is None:
            return model.learn(total_timesteps, callback=callbacks, **learn)
        return restored.items[ITEM].learn(total_timesteps, callback=callbacks, **learn)

    def _on_training_start(self) -> None:
        self._keeper.prepare(self.model.num_timesteps)
        self._proof.begin(self.model)
        self._stop.watch()
        super()._on_training_start()

    def _on_step(self) -> bool:
        self._ask()
        return bool(super()._on_step())

    def _ask(self) -> None:
        if self._stop.requested:
            self._boundary.request()

    def _on_training_end(self) -> None:
        self._ask()
        super()._on_training_end()
        try:
            self._stop.end(self._keeper.wait)
        finally:
            self._proof.end()
