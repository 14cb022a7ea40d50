"""Keras' list of callbacks, for an epoch that was begun before. Importing it imports Keras: ``keras_loop`` does so."""

from typing import Any

from keras.callbacks import CallbackList


class LateCallbackList(CallbackList):  # type: ignore[misc]  # Keras is optional: its classes are Any for mypy
    """Calls no callback for batches that were trained before."""

    begun = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Tell of a batch unless it was trained before."""
        if batch >= self.begun:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Tell of the end of a batch unless it was trained before."""
        if batch >= self.begun:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tell of the end of the epoch; the next ones are trained in full."""
        self.begun = 0
        super().on_epoch_end(epoch, logs)
