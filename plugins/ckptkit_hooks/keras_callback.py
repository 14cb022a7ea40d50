"""The callback of Keras. Importing it imports Keras: ``keras_`` does so when one is made."""

from typing import Any

from keras.callbacks import Callback

from ckptkit_hooks.keras_run import Training


class CheckpointCallback(Callback):  # type: ignore[misc]  # Keras is optional: its classes are Any for mypy
    """Saves after batches and epochs."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self._training = training

    def fit(
        self,
        model: Any,
        x: Any,
        *args: Any,
        epochs: int = 1,
        callbacks: Any = None,
        ref: str | None = None,
        **fit: Any,
    ) -> Any:
        """Train like ``model.fit``, from the newest checkpoint that verifies, until ``epochs`` are complete.

        Args:
            model: compiled as in the training that is resumed.
            x: data; a ``PersistentIterator`` needs ``steps_per_epoch``.
            args: more arguments of ``model.fit``.
            epochs: of the whole training.
            callbacks: other callbacks. What they hold is saved and put back; what cannot be lowers the grade.
            ref: ``RUN@STEP`` or ``RUN@best``, to resume from one other than the newest.
            fit: more arguments of ``model.fit``.

        Returns:
            The ``History`` of the epochs trained by this call; an empty one if there was nothing left to train.

        Raises:
            UsageError: the arguments do not fit together.
            NothingResumableError: there are checkpoints, but none that verifies.
            BackendError: the checkpoint does not fit the model; it is unchanged.
        """
        return self._training.fit(self, model, x, args, ref, {**fit, "epochs": epochs, "callbacks": callbacks})

    def on_train_begin(self, logs: Any = None) -> None:
        """Put the checkpoint into the model and the callbacks; watch for SIGTERM."""
        self._training.begin(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Count batches from the beginning of the epoch, or from where it was left."""
        self._training.begin_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save if it is time."""
        self._training.end_batch(batch, self.params.get("steps") or 0, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save if it is time, or if a SIGTERM came in the last batch or during validation."""
        self._training.end_epoch(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Wait for the last save; put the previous handler of SIGTERM back."""
        self._training.end()
