"""Where an iterator is at one moment, in memory: what TensorFlow itself would write of it, to be written later."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptkit.errors import BackendError
from ckptkit_tfdata.error_text import one_line
from ckptkit_tfdata.lazy_import import tensorflow


@dataclass(frozen=True, slots=True)
class Held:
    """Position and counter of an iterator that goes on.

    Attributes:
        state: of the iterator, as TensorFlow serialises it.
        batches_seen: the counter.
    """

    state: Mapping[str, Any]
    batches_seen: int

    @classmethod
    def of(cls, iterator: Any, batches_seen: int) -> "Held":
        """Return the position of TensorFlow's own iterator.

        Raises:
            BackendError: the dataset holds state that TensorFlow cannot save.
        """
        tf = tensorflow()
        try:
            return cls(iterator._serialize_to_tensors(), batches_seen)
        except (tf.errors.OpError, NotImplementedError) as error:
            raise BackendError(f"tf-data: TensorFlow could not save the iterator: {one_line(error)}") from error

    def write(self, prefix: Path) -> None:
        """Write it as one fresh bundle: the same as ``Checkpoint(iterator=..., batches_seen=...).write`` had written.

        Raises:
            BackendError: TensorFlow could not write it.
        """
        tf = tensorflow()
        with tf.device("CPU:0"):
            count = tf.Variable(self.batches_seen, dtype=tf.int64, trainable=False, name="batches_seen")
        try:
            tf.train.Checkpoint(iterator=_stand_in(self.state), batches_seen=count).write(os.fspath(prefix))
        except tf.errors.OpError as error:
            raise BackendError(f"tf-data: TensorFlow could not save the iterator: {one_line(error)}") from error

    def put(self, iterator: Any) -> None:
        """Put the position into TensorFlow's own iterator of another dataset of the same definition."""
        iterator._restore_from_tensors(dict(self.state))


def _stand_in(state: Mapping[str, Any]) -> Any:
    """Return what a checkpoint takes for the iterator."""

    class StandIn(tensorflow().__internal__.tracking.Trackable):  # type: ignore[misc]  # TensorFlow is optional
        _LEGACY_SAVEABLE_NAME = "ITERATOR"  # what iterators are called in bundles, by all versions of TensorFlow

        def _serialize_to_tensors(self) -> Mapping[str, Any]:
            return state

        def _restore_from_tensors(self, restored: Mapping[str, Any]) -> None:
            raise NotImplementedError("it is only written")

    return StandIn()
